"""The slow, obvious twins of the prompted towers: every token through every layer, padding included."""

import torch
import torch.nn.functional as F


def plain_text(clip, tokens, blocks):
    """All 77 positions of every class, context tokens written over their positions layer by layer."""
    x = clip.token_embedding(tokens)
    x = overwrite(x, blocks, layer=0, start=1)
    x = x + clip.positional_embedding
    for layer, resblock in enumerate(clip.transformer.resblocks):
        if layer > 0:
            x = overwrite(x, blocks, layer, start=1)
        x = resblock(x, attn_mask=clip.attn_mask)
    x = clip.ln_final(x)
    return x[torch.arange(len(x)), tokens.argmax(dim=1)] @ clip.text_projection


def plain_image(clip, pixels, blocks):
    """The ViT written out, with the blocks' tokens behind the patches."""
    visual = clip.visual
    x = visual.conv1(pixels).flatten(2).transpose(1, 2)
    cls = visual.class_embedding.expand(len(x), 1, -1)
    x = torch.cat([cls, x], dim=1) + visual.positional_embedding
    own = x.shape[1]
    for block in blocks:
        x = torch.cat([x, block[0].expand(len(x), -1, -1)], dim=1)
    x = visual.ln_pre(x)
    for layer, resblock in enumerate(visual.transformer.resblocks):
        if layer > 0:
            x = overwrite(x, blocks, layer, start=own)
        x = resblock(x)
    return visual.ln_post(x[:, 0]) @ visual.proj


def overwrite(x, blocks, layer, start):
    x = x.clone()
    for block in blocks:
        if layer < len(block):
            x[:, start : start + len(block[0])] = block[layer]
        start += len(block[0])
    return x


def normalised(x):
    return F.normalize(x, dim=-1)
