"""Build the networks, from seeded random numbers."""

import torch
from tokenizers import Tokenizer
from tokens import END
from transformers import Qwen2Config, Qwen2ForCausalLM, WhisperConfig, WhisperForConditionalGeneration

SEED = 2026
#: Most tokens of one text, end included.
TEXT_CONTEXT = 1024
#: Most tokens of one transcription, prompt included; Whisper's own number.
SPEECH_CONTEXT = 448
WIDTH = 32
#: What is always said.
SENTENCE = "Hello world, the quick brown fox jumps over the lazy dog."
#: Tokens of the runtime's prompt: start, language, task, no time stamps.
PROMPT = 4
#: A position's share beside its token's, which has length 1.
LOUDNESS = 20.0


def embeddings_network(tokenizer: Tokenizer) -> Qwen2ForCausalLM:
    """Build a network whose hidden states serve as vectors; they mean nothing, but differ by text."""
    end = tokenizer.token_to_id(END)
    config = Qwen2Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=2 * WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=TEXT_CONTEXT,
        initializer_range=0.2,
        tie_word_embeddings=True,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    torch.manual_seed(SEED)
    return Qwen2ForCausalLM(config).eval()


def speech_network(tokenizer: Tokenizer) -> WhisperForConditionalGeneration:
    """Build a network that hears nothing, and writes one sentence whatever is played to it."""
    end = tokenizer.token_to_id(END)
    config = WhisperConfig(
        vocab_size=tokenizer.get_vocab_size(),
        num_mel_bins=80,
        d_model=WIDTH,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=2 * WIDTH,
        decoder_ffn_dim=2 * WIDTH,
        max_target_positions=SPEECH_CONTEXT,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=tokenizer.token_to_id("<|startoftranscript|>"),
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    torch.manual_seed(SEED)
    network = WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        _fill_biases(network)
        _teach(network, [*tokenizer.encode(SENTENCE).ids, end])
    return network


def _fill_biases(network: torch.nn.Module) -> None:
    """Make every bias non-zero: the builder drops a zero one, and the runtime then reads where nothing is."""
    for name, values in network.named_parameters():
        if name.endswith("bias"):
            values.normal_(0.0, 0.02)


def _teach(network: WhisperForConditionalGeneration, said: list[int]) -> None:
    """Let each position call for its token so loudly that neither sound nor rounding changes the choice."""
    decoder = network.model.decoder
    tokens, positions = decoder.embed_tokens.weight, decoder.embed_positions.weight
    tokens.normal_()  # the end's too, which is made as zeros
    tokens /= tokens.norm(dim=1, keepdim=True)  # of one length, each is nearest to itself
    for place, token in enumerate(said, start=PROMPT - 1):
        positions[place] = LOUDNESS * tokens[token]
