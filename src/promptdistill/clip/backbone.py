"""Loading frozen open_clip models: OpenAI's and others' weights, the shipped miniatures, or random ones."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..compat import import_open_clip
from ..config.models import BackboneConfig, Precision
from ..errors import UserError
from ..miniature import MODELS
from ..validation import did_you_mean
from .activation import unsaid_activation
from .attention import is_plain
from .vision import takes_prompts
from .weights import read_weights

_log = logging.getLogger(__name__)

_SEED = 0  # of random weights, and of token rows that a miniature model's file leaves out


@dataclass(frozen=True, kw_only=True, slots=True)
class Backbone:
    """A frozen CLIP with what is needed to feed it.

    `preprocess` maps a PIL image to pixels (3, H, W) as the model's own open_clip configuration
    says for testing; `size` is (H, W); `mean` and `std` are per-channel; `weights_sha256` covers
    every parameter and the activations; `precision` is that of the towers' arithmetic.
    """

    config: BackboneConfig
    model: nn.Module
    tokenizer: Callable[..., Tensor]
    preprocess: Callable[..., Tensor]
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights_sha256: str
    precision: Precision = "float32"

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.logit_scale.device

    @property
    def text_width(self) -> int:
        """Width of the text tower (`d_t`)."""
        return self.model.positional_embedding.shape[1]

    @property
    def vision_width(self) -> int:
        """Width of the vision transformer (`d_v`); UserError if the image tower is not a transformer."""
        self.require_vision_prompts()
        return self.model.visual.conv1.out_channels

    @property
    def feature_dim(self) -> int:
        """Dimension of image and text features (`D`)."""
        return self.model.visual.output_dim

    @property
    def text_layers(self) -> int:
        """Number of transformer layers of the text tower."""
        return len(self.model.transformer.resblocks)

    @property
    def vision_layers(self) -> int:
        """Number of transformer layers of the image tower; UserError if it is not a transformer."""
        self.require_vision_prompts()
        return len(self.model.visual.transformer.resblocks)

    @property
    def logit_scale(self) -> Tensor:
        """`exp(logit_scale)`, a scalar."""
        return self.model.logit_scale.exp()

    def autocast(self) -> torch.autocast:
        """A context in which the towers compute with the backbone's precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def require_vision_prompts(self) -> None:
        """UserError unless the image tower is a transformer that takes prompt tokens."""
        visual = self.model.visual
        if not takes_prompts(visual):
            raise UserError(
                f"{self.config.model} has an image tower of type {type(visual).__name__}, which takes no "
                "prompt tokens: use a text-only method such as coop, or a model with a ViT."
            )


def resolve_device(device: str) -> torch.device:
    """The torch device of a configuration's `device`; "auto" takes CUDA where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device is cuda, but torch sees no GPU here: set device to auto or cpu.")
    return torch.device(device)


def load_backbone(
    config: BackboneConfig, device: torch.device | str = "cpu", precision: Precision = "float32"
) -> Backbone:
    """Load a model, freeze it and put it into evaluation mode.

    Raises UserError for an unknown architecture, weights that are missing, another model's or not finite, or
    a text tower that is not open_clip's causal one.
    """
    open_clip = import_open_clip()
    open_clip.add_model_config(MODELS)
    if config.model not in open_clip.list_models():
        hint = did_you_mean(config.model, open_clip.list_models())
        raise UserError(f"open_clip knows no model {config.model!r}{hint if 'mean' in hint else ''}.")
    model = _create(config)
    _check_text_tower(config, model)
    require_finite(model.state_dict(), f"The weights {config.pretrained} of {config.model}", "get them again")
    model = model.to(device).eval().requires_grad_(False)
    cfg = open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg)
    size = cfg.size if isinstance(cfg.size, tuple | list) else (cfg.size, cfg.size)
    return Backbone(
        config=config,
        model=model,
        tokenizer=open_clip.get_tokenizer(config.model),
        preprocess=open_clip.transform.image_transform_v2(cfg, is_train=False),
        size=tuple(size),
        mean=tuple(cfg.mean),
        std=tuple(cfg.std),
        weights_sha256=weights_sha256(model),
        precision=precision,
    )


def _create(config: BackboneConfig) -> nn.Module:
    open_clip = import_open_clip()
    if config.pretrained == "miniature":
        return _load_miniature(config.model)
    if config.pretrained == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            return _untrained(config.model)
    if config.file is not None:
        return _load_file(config)
    tags = open_clip.list_pretrained_tags_by_model(config.model)
    if config.pretrained not in tags:
        raise UserError(
            f"{config.model} has no weights {config.pretrained!r}: name a weights file, 'random', "
            f"or one of {', '.join(tags) or 'no published tag'}."
        )
    # open_clip 3.3 only warns that OpenAI's weights were trained with QuickGELU.
    quick_gelu = open_clip.get_pretrained_cfg(config.model, config.pretrained).get("quick_gelu", False)
    try:
        return open_clip.create_model(config.model, pretrained=config.pretrained, force_quick_gelu=quick_gelu)
    except (OSError, RuntimeError, SafetensorError, UnpicklingError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"The weights {config.pretrained!r} of {config.model} could not be loaded ({reason}): check the "
            "network, or put the file somewhere and name its path as `pretrained`."
        ) from None


def _untrained(name: str, quick_gelu: bool = False) -> nn.Module:
    """A model with initial weights, without open_clip's warning that they are just that.

    `quick_gelu` gives it that activation, whatever its configuration says.
    """
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        return import_open_clip().create_model(name, load_weights=False, force_quick_gelu=quick_gelu)
    finally:
        root.setLevel(level)


def _load_file(config: BackboneConfig) -> nn.Module:
    """A model with the weights of a file, which are its own to the last tensor."""
    config.require_file()
    tensors, of_openai = read_weights(config.file)
    model = _untrained(config.model, quick_gelu=of_openai)
    own = model.state_dict()
    if "logit_scale" in tensors and tensors["logit_scale"].shape == (1,):  # some save it as a list of one
        tensors["logit_scale"] = tensors["logit_scale"][0]
    for name in [*own, *tensors]:
        there, wanted = (_kind(held[name]) if name in held else "missing" for held in (tensors, own))
        if there != wanted:
            raise UserError(
                f"{config.file} does not hold the weights of {config.model}: {name} is {there} in the file "
                f"and {wanted} in the model. Name the model that they belong to, or another file."
            )
    model.load_state_dict(tensors)
    if unsaid := unsaid_activation(config):
        _log.warning(unsaid)
    return model


def _kind(tensor: Tensor) -> str:
    """What a tensor of a file and the model's have to agree in."""
    numbers = "floating-point" if tensor.is_floating_point() else str(tensor.dtype).removeprefix("torch.")
    return f"{numbers} {tuple(tensor.shape)}"


def _load_miniature(name: str) -> nn.Module:
    """A shipped miniature model; token rows left out of its file get small seeded noise."""
    path = MODELS / f"{name}.safetensors"
    if not path.is_file():
        raise UserError(f"{name} is not a miniature model: use miniature-student or miniature-teacher.")
    tensors = {key: value.float() for key, value in load_file(path).items()}
    token_ids = tensors.pop("token_ids").long()
    model = _untrained(name)
    noise = torch.Generator().manual_seed(_SEED)
    rows = torch.randn(model.token_embedding.weight.shape, generator=noise) * 0.02
    rows[token_ids] = tensors["token_embedding.weight"]
    tensors["token_embedding.weight"] = rows
    model.load_state_dict(tensors)
    return model


def _check_text_tower(config: BackboneConfig, model: nn.Module) -> None:
    plain = (
        getattr(model, "attn_mask", None) is not None
        and getattr(model, "text_pool_type", None) in ("argmax", "eos")
        and is_plain(model.transformer)
    )
    if not plain:
        raise UserError(
            f"{config.model} has no causal CLIP text tower, so it takes no text prompts: "
            "use one of open_clip's CLIP models, such as ViT-B-16 or RN50."
        )


def require_finite(tensors: dict[str, Tensor], what: str, advice: str) -> None:
    """UserError if one of the tensors of something holds a number that is infinite or not a number."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise UserError(f"{what} are not finite numbers: see {name}; {advice}.")


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 of what a model computes: its modules without weights, and all parameters and buffers by name.

    Activations and heads are of the former: other models, such as one with QuickGELU, can have equal weights.
    """
    digest = hashlib.sha256()
    for name, module in model.named_modules():
        heads = getattr(module, "num_heads", None)
        if heads is not None or not (module.state_dict() or list(module.children())):
            kind = f"{type(module).__name__} {getattr(module, 'approximate', '')}"  # of GELU
            digest.update(f"{name} {heads or kind}".encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
