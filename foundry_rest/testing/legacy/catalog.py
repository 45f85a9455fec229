"""The catalog of the 0.x service for tests: entries of ``/foundry/list``, in their order."""

from __future__ import annotations

#: Device -> execution provider of the generic variant.
_PROVIDERS = {
    "NPU": "QNNExecutionProvider",
    "GPU": "WebGpuExecutionProvider",
    "CPU": "CPUExecutionProvider",
}
_TEMPLATE = {
    "system": "<|system|>{Content}<|end|>",
    "user": "<|user|>{Content}<|end|>",
    "assistant": "<|assistant|>{Content}<|end|>",
    "prompt": "<|user|>{Content}<|end|><|assistant|>",
}

Entry = dict[str, object]


def legacy_model(
    name: str,
    alias: str,
    device: str = "CPU",
    *,
    task: str = "chat-completion",
    size_mb: int = 2590,
    provider: str = "",
) -> Entry:
    """Build one entry of the catalog, spelt as 0.8 does.

    Args:
        name: Id, with ``:version``.
        alias: Name that all variants share.
        device: ``"CPU"``, ``"GPU"`` or ``"NPU"``.
        task: Such as ``"chat-completion"`` or ``"embeddings"``.
        size_mb: Megabytes on disk.
        provider: Execution provider; default: the usual one of the device.
    """
    bare, _, version = name.partition(":")
    uri = f"azureml://registries/azureml/models/{bare}/versions/{version}"
    return {
        "name": name,
        "displayName": bare,
        "modelType": "ONNX",
        "providerType": "AzureFoundry",
        "uri": uri,
        "version": version,
        "promptTemplate": _TEMPLATE if task == "chat-completion" else None,
        "publisher": "Microsoft",
        "task": task,
        "runtime": {"deviceType": device, "executionProvider": provider or _PROVIDERS[device]},
        "fileSizeMb": size_mb,
        "modelSettings": {"parameters": []},
        "alias": alias,
        "supportsToolCalling": task == "chat-completion",
        "license": "MIT",
        "licenseDescription": "This model is provided under the MIT License.",
        "parentModelUri": uri.replace(f"-{device.lower()}", ""),
        "maxOutputTokens": 2048 if task == "chat-completion" else None,
        "minFLVersion": None,
    }


def in_documents_case(value: Entry) -> Entry:
    """Return an object with its names spelt as in the documentation: in Pascal case, at every depth."""
    return {
        name[:1].upper() + name[1:]: in_documents_case(part) if isinstance(part, dict) else part
        for name, part in value.items()
    }


#: The default catalog: three variants of one alias, two versions of another, and one model that cannot
#: chat.
LEGACY_CATALOG: tuple[Entry, ...] = (
    legacy_model("phi-4-mini-instruct-qnn-npu:2", "phi-4-mini", "NPU", size_mb=2110),
    legacy_model("Phi-4-mini-instruct-generic-gpu:5", "phi-4-mini", "GPU", size_mb=3720),
    legacy_model("Phi-4-mini-instruct-generic-cpu:5", "phi-4-mini", "CPU", size_mb=4915),
    legacy_model("qwen2.5-0.5b-instruct-generic-cpu:4", "qwen2.5-0.5b", size_mb=822),
    legacy_model("qwen2.5-0.5b-instruct-generic-cpu:3", "qwen2.5-0.5b", size_mb=822),
    legacy_model("mistralai-Mistral-7B-Instruct-v0-2-generic-cpu:2", "mistral-7b-v0.2", size_mb=4167),
    legacy_model("all-minilm-l6-v2-generic-cpu:1", "all-minilm-l6-v2", task="embeddings", size_mb=90),
)
#: The ids of it that are on disk at the start.
LEGACY_CACHED = (
    "Phi-4-mini-instruct-generic-cpu:5",
    "qwen2.5-0.5b-instruct-generic-cpu:3",
    "all-minilm-l6-v2-generic-cpu:1",
)
