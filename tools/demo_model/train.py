"""Train the small network until it knows every answer by heart.

Rows of similar length go together, since a story in the history makes a row ten times as long as a greeting.
They are padded on the right, where causal attention cannot see the padding.
"""

import math
from collections.abc import Iterator
from random import Random

import torch
from corpus import Corpus, draw
from tokenizers import Tokenizer
from tokens import CONTEXT, END, PAD, VOCABULARY, Conversation, segments
from transformers import Qwen2Config, Qwen2ForCausalLM

ROWS = 40
LONGEST = 900
IGNORED = -100
Row = tuple[list[int], list[int]]


def new_model(tokenizer: Tokenizer) -> Qwen2ForCausalLM:
    """Build the untrained network; sixteen numbers a head keep the table of positions small."""
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.token_to_id(PAD),
        eos_token_id=tokenizer.token_to_id(END),
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    return Qwen2ForCausalLM(config)


def encode(tokenizer: Tokenizer, conversation: Conversation) -> Row:
    """Turn a conversation into ids and labels; only answers to learn have labels."""
    ids: list[int] = []
    labels: list[int] = []
    for text, learn in segments(conversation):
        piece = tokenizer.encode(text).ids
        ids += piece
        labels += piece if learn else [IGNORED] * len(piece)
    return ids, labels


def rows(tokenizer: Tokenizer, corpus: Corpus, rng: Random) -> list[Row]:
    """Draw the rows of one step, sorted by length; leave out the few that are very long."""
    drawn = (encode(tokenizer, draw(corpus, rng)) for _ in range(ROWS))
    return sorted((row for row in drawn if len(row[0]) <= LONGEST), key=lambda row: len(row[0]))


def pad(batch: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Make rectangles of ids and labels by padding on the right."""
    width = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([row + [0] * (width - len(row)) for row, _ in batch])
    labels = torch.tensor([row + [IGNORED] * (width - len(row)) for _, row in batch])
    return ids, labels


def loss_of(model: Qwen2ForCausalLM, batch: list[Row]) -> tuple[torch.Tensor, int]:
    """Add up the loss over the labelled tokens of a batch and count them."""
    ids, labels = pad(batch)
    hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    chosen = wanted != IGNORED
    # The output layer is the widest part: run it only where there is something to learn.
    logits = model.lm_head(hidden[chosen])
    return torch.nn.functional.cross_entropy(logits, wanted[chosen], reduction="sum"), int(chosen.sum())


def split(step_rows: list[Row], parts: int = 8) -> Iterator[list[Row]]:
    """Cut sorted rows into parts of similar length, so that little is padding."""
    size = math.ceil(len(step_rows) / parts)
    for first in range(0, len(step_rows), size):
        yield step_rows[first : first + size]


def rate(step: int, steps: int, peak: float) -> float:
    """Give the learning rate: a short rise, then half a cosine down to one percent."""
    rise = min(1.0, (step + 1) / 50)
    return peak * rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def one_step(model: Qwen2ForCausalLM, optimizer: torch.optim.Optimizer, step_rows: list[Row]) -> float:
    """Take one optimiser step over the rows and return the mean loss per token."""
    total = sum(sum(label != IGNORED for label in labels) for _, labels in step_rows)
    value = 0.0
    for batch in split(step_rows):
        loss, _ = loss_of(model, batch)
        (loss / total).backward()
        value += float(loss.detach()) / total
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return value


def train(model: Qwen2ForCausalLM, tokenizer: Tokenizer, corpus: Corpus, rng: Random, steps: int) -> float:
    """Train for a fixed number of steps and return the mean loss of the last fifty."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, betas=(0.9, 0.98), weight_decay=0.01)
    losses: list[float] = []
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, steps, 4e-3)
        losses.append(one_step(model, optimizer, rows(tokenizer, corpus, rng)))
        if step % 50 == 0:
            print(f"step {step:5d}  loss {sum(losses[-50:]) / len(losses[-50:]):.4f}", flush=True)
    model.eval()
    return sum(losses[-50:]) / len(losses[-50:])


def round_weights(model: Qwen2ForCausalLM) -> None:
    """Round every weight to bfloat16 but keep it as float32: half of the bytes are zeros, and pack well."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.to(torch.bfloat16).to(torch.float32))
