"""The plain methods of benchmarks/plain against open_clip itself, and the fast methods against them."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.transforms.v2 import functional as tv

from plain import methods, plugins
from plain.pictures import read_regions
from plain.towers import image_features, text_features
from promptdistill.clip.backbone import load_backbone
from promptdistill.clip.prompts import phrase_embedding, random_prompt
from promptdistill.config.models import BackboneConfig
from promptdistill.data.images import Region, normalise, open_image, region_pixels
from promptdistill.methods import make_method, parse_hyperparameters
from promptdistill.methods.base import Batch, MethodContext
from promptdistill.run import MethodParts, family

NAMES = ["star", "ring_shape", "heart"]
TEMPLATE = "a photo of a {}, a type of shape."
COMMON = {"epochs": 3, "batch_size": 4, "lr": 0.05}
DEEP = {**COMMON, "n_ctx_text": 4, "n_ctx_vision": 2, "prompt_depth": 2}
FDBPL_PARTS = ("label", "positive", "negative", "difference", "intra", "inter")
THRESHOLD = 0.5  # between the random teacher's top probabilities for the four regions
IMAGES = [0, 0, 1, 1]
FAST = {
    "coop": {**COMMON, "n_ctx": 5},
    "ivlp": {**DEEP, "ctx_init": "a photo of a"},
    "promptsrc": {**DEEP, "gpa_mean": 2, "gpa_std": 1},
    "boosting": DEEP,
    "cocoop": {**COMMON, "n_ctx": 4, "ctx_init": "a photo of a"},
    "maple": {**COMMON, "n_ctx": 2, "prompt_depth": 2, "ctx_init": "a photo of a"},
    "promptkd": {**COMMON, "n_ctx_vision": 2, "prompt_depth": 2, "weight": 10.0},
    "fdbpl": {
        **DEEP,
        **{"ctx_init": "a photo of a", "negative_ctx_init": "a photo without a"},
        **{"regions": None, "region_scale": None, "regions_per_image": 2, "region_aware": True},
        **{"informative_by": "top", "threshold": THRESHOLD, "uninformative": 0.5},
        **{"temperature": 1.0, "top_k": None, "inference": "positive"},
        **{f"{part}_weight": 1.0 for part in FDBPL_PARTS},
    },
}
PLAIN = {
    "coop": methods.CoOp,
    "cocoop": methods.CoCoOp,
    "maple": methods.MaPLe,
    "ivlp": methods.IVLP,
    "promptsrc": methods.PromptSRC,
    "boosting": methods.Boosting,
    "promptkd": methods.PromptKD,
    "fdbpl": methods.FDBPL,
}
TAUGHT = {
    "coop+kdpl": {},
    "cocoop+kdpl": {},
    "maple+kdpl": {},
    "ivlp+kdpl": {},
    "coop+fdbpl": {"n_ctx": 4, "negative": True, "confidence": "region"},
    "promptsrc+fdbpl": {"negative": False, "confidence": "batch"},
}
FDBPL = {
    **{"region_scale": None, "negative_ctx_init": "a photo of no", "cosine_weight": 0.001},
    "hinge_weight": 0.0,
}
CASCADES = pytest.mark.parametrize("cascade", [False, True], ids=["alone", "cascade"])


@pytest.fixture(scope="module")
def random_teacher():
    """With another logit scale than the student's."""
    teacher = load_backbone(BackboneConfig(model="miniature-teacher", pretrained="random"))
    teacher.model.logit_scale.fill_(math.log(30))
    return teacher


@pytest.fixture
def pixels():
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


LABELS = torch.tensor([0, 1, 2, 1])


class OnlineTeacher:
    """Stands in for the lookup: the teacher's logits for the very pixels of the batch."""

    def __init__(self, clip, tokenizer, pixels):
        sentences = [TEMPLATE.format(name.replace("_", " ")) for name in NAMES]
        image = clip.encode_image(pixels, normalize=True)
        self.similarity = image @ clip.encode_text(tokenizer(sentences), normalize=True).T

    def logits(self, images, regions, scale, top_k=None):
        return scale * self.similarity


class OnlineTunedTeacher:
    """The same for PromptKD: of a teacher with a prompt of its own, given as a plain method."""

    def __init__(self, teacher, pixels):
        self.text = teacher.text_features()
        self.similarity = teacher.image_features(pixels) @ self.text.T
        self.logit_scale = float(teacher.scale)

    def logits(self, images, regions, scale):
        return scale * self.similarity


def frozen_prompt(backbone):
    generator = torch.Generator().manual_seed(2)
    prompt = random_prompt(backbone, generator, n_ctx_text=3, n_ctx_vision=3, prompt_depth=3)
    return prompt.requires_grad_(False)


def random_tensors(seed=0, **shapes):
    """Learning tensors; "__" in a name stands for a dot."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name.replace("__", "."): (0.1 * torch.randn(shape, generator=generator)).requires_grad_()
        for name, shape in shapes.items()
    }


def plain_method(kind, backbone, prompt, **options):
    return kind(backbone.model, backbone.tokenizer, NAMES, prompt, **options)


def assert_gradients_agree(actual, expected):
    for mine, theirs in zip(actual, expected, strict=True):
        assert theirs.norm() > 0
        assert (mine - theirs.view_as(mine)).norm() <= 1e-4 * theirs.norm()


def teacher_of(name, teacher, pixels):
    """What a context knows of the teacher, and what the plain method does; PromptKD's has a prompt."""
    if name == "promptkd":
        tuned = plain_method(methods.IVLP, teacher, frozen_prompt(teacher).state_dict())
        online = OnlineTunedTeacher(tuned, pixels)
        return {"teacher": online, "teacher_text": online.text}, {"teacher": tuned}
    if name in ("boosting", "fdbpl") or name in TAUGHT:
        online = OnlineTeacher(teacher.model, teacher.tokenizer, pixels)
        own = {"teacher": teacher.model, "teacher_tokenizer": teacher.tokenizer, "template": TEMPLATE}
        if name == "fdbpl":
            own |= {"regions_per_image": 2, "threshold": THRESHOLD}
        return {"teacher": online}, own
    return {}, {}


def plain_projection(projection):
    """PromptKD's layers as convolutions, with copies of the weights."""
    convolutions = methods.promptkd_projection(projection[0].in_features, projection[0].out_features)
    shapes = {key: tensor.shape for key, tensor in convolutions.state_dict().items()}
    state = {key: tensor.view(shapes[key]) for key, tensor in projection.state_dict().items()}
    convolutions.load_state_dict(state)
    return convolutions


def learning_of(fast):
    """What learns, by name: the prompt, and the negative text of FDBPL."""
    negative = getattr(fast.objective, "negative", None)
    return dict(fast.prompt.named_parameters()) | ({} if negative is None else {"negative": negative.text[0]})


def values_of(name):
    own = TAUGHT.get(name, {})
    return FAST[family(name)] | own | (FDBPL if name.endswith("+fdbpl") else {})


def both_ways(name, cascade, student, teacher, pixels):
    """One method, fast and plain, with the same initial prompt; and the plain one's learning tensors."""
    base, plugin = family(name), MethodParts.of(name).plugin
    frozen = [frozen_prompt(student)] if cascade else []
    known, options = teacher_of(name, teacher, pixels)
    context = MethodContext(
        backbone=student,
        class_names=NAMES,
        template=TEMPLATE,
        config=parse_hyperparameters(name, values_of(name)),
        generator=torch.Generator().manual_seed(0),
        frozen=frozen,
        **known,
    )
    fast = make_method(name, context)
    prompt = {key: value.detach().clone().requires_grad_() for key, value in learning_of(fast).items()}
    asking = options if plugin else {}
    if plugin:
        options = {}
    if cascade:
        options["boosting"] = frozen[0].state_dict()
    if base == "maple":
        options["fixed_words"] = "of a"
    if base == "promptsrc":
        options["frozen_text"] = methods.ensemble_features(student.model, student.tokenizer, NAMES)
    learning = list(prompt.values())
    if name == "promptkd":
        options |= {"projection": plain_projection(fast.prompt.projection), "weight": FAST[name]["weight"]}
        prompt = {key: value for key, value in prompt.items() if key.startswith("vision.")}
        learning = [*prompt.values(), *options["projection"].parameters()]
    plain = plain_method(PLAIN[base], student, prompt, **options)
    if plugin == "fdbpl":
        own = {"negative": prompt.get("negative"), "by_batch": values_of(name)["confidence"] == "batch"}
        plain = plugins.FDBPL(plain, **asking, **own)
    elif plugin:
        plain = plugins.KDPL(plain, **asking)
    return fast, plain, learning


def with_effect(fast, tensors):
    """Those of the learning tensors that change the loss: no bias right before a batch normalisation."""
    names = list(learning_of(fast))
    return [tensor for name, tensor in zip(names, tensors, strict=True) if name != "projection.0.bias"]


@CASCADES
@pytest.mark.parametrize("name", [*PLAIN, *TAUGHT])
def test_fast_method_equals_plain_one(name, cascade, random_student, random_teacher, pixels):
    """Loss and gradient of every learning tensor, with and without a frozen boosting block."""
    fast, plain, learning = both_ways(name, cascade, random_student, random_teacher, pixels)
    loss = fast.loss(Batch(pixels, LABELS, torch.tensor(IMAGES), torch.zeros(4, dtype=torch.long)))
    expected = plain.loss(pixels, LABELS)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
    gradients = torch.autograd.grad(loss, list(learning_of(fast).values()))
    theirs = torch.autograd.grad(expected, learning)
    assert_gradients_agree(with_effect(fast, gradients), with_effect(fast, theirs))


@CASCADES
@pytest.mark.parametrize("name", [*PLAIN, *TAUGHT])
def test_twenty_steps_end_in_the_same_prompt(name, cascade, random_student, random_teacher, pixels):
    fast, plain, learning = both_ways(name, cascade, random_student, random_teacher, pixels)
    batch = Batch(pixels, LABELS, torch.tensor(IMAGES), torch.zeros(4, dtype=torch.long))
    before = [tensor.detach().clone() for tensor in learning]
    for parameters, loss in (
        (list(learning_of(fast).values()), lambda: fast.loss(batch)),
        (learning, lambda: plain.loss(pixels, LABELS)),
    ):
        optimizer = torch.optim.SGD(parameters, lr=0.0025, momentum=0.9, weight_decay=5e-4)
        for _ in range(20):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
    for mine, theirs in zip(learning_of(fast).values(), learning, strict=True):
        torch.testing.assert_close(mine, theirs.view_as(mine), atol=1e-4, rtol=0)
    for theirs, initial in zip(with_effect(fast, learning), with_effect(fast, before), strict=True):
        assert (theirs - initial).abs().max() > 1e-5


@pytest.mark.parametrize("steps", [1, 20])
def test_promptkd_normalises_with_the_same_statistics(random_student, random_teacher, pixels, steps):
    """Running mean and variance, new pixels at each step; then features that they normalise."""
    fast, plain, learning = both_ways("promptkd", False, random_student, random_teacher, pixels)
    generator = torch.Generator().manual_seed(7)
    optimizers = [torch.optim.SGD(p, lr=0.0025) for p in (list(fast.prompt.parameters()), learning)]
    for _ in range(steps):
        seen = torch.randn(4, 3, 32, 32, generator=generator)
        fast.context.teacher.similarity = plain.teacher.image_features(seen) @ plain.teacher_text.T
        batch = Batch(seen, LABELS, torch.arange(4), torch.zeros(4, dtype=torch.long))
        for optimizer, loss in zip(optimizers, (fast.loss(batch), plain.loss(seen, LABELS)), strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    mine, theirs = fast.prompt.projection[1], plain.projection[1]
    assert int(mine.num_batches_tracked) == steps
    for key in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(mine, key), getattr(theirs, key), atol=1e-5, rtol=1e-5)
    assert (mine.running_mean.abs() > 1e-3).any()
    fast.eval()
    plain.projection.eval()
    expected = plain.image_features(pixels)
    torch.testing.assert_close(fast.encode_images(pixels), expected, atol=1e-5, rtol=0)


def test_a_bias_before_batch_normalisation_has_no_effect(random_student, random_teacher, pixels):
    """Of both ways; it is left out of the comparison above because its gradient is rounding noise."""
    fast, plain, learning = both_ways("promptkd", False, random_student, random_teacher, pixels)
    batch = Batch(pixels, LABELS, torch.tensor(IMAGES), torch.zeros(4, dtype=torch.long))
    bias = dict(fast.prompt.named_parameters())["projection.0.bias"]
    theirs = learning[[name for name, _ in fast.prompt.named_parameters()].index("projection.0.bias")]
    for loss, tensor in ((fast.loss(batch), bias), (plain.loss(pixels, LABELS), theirs)):
        (gradient,) = torch.autograd.grad(loss, [tensor])
        assert gradient.abs().max() < 1e-5


def test_towers_without_prompts_equal_open_clip(student, pixels):
    clip, tokens = student.model, student.tokenizer(["a photo of a star.", "forget me not."])
    text, image = text_features(clip, tokens, []), image_features(clip, pixels, [])
    torch.testing.assert_close(text, clip.encode_text(tokens), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(image, clip.encode_image(pixels), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("learning", "fixed_words"), [("a photo", "of a"), ("a photo of a", "")])
def test_words_as_context_equal_open_clip(random_student, learning, fixed_words):
    """MaPLe whose text tokens are the embeddings of words reads the sentence of these words."""
    width, n_ctx = random_student.text_width, len(learning.split())
    prompt = random_tensors(map__0__weight=(random_student.vision_width, width))
    prompt |= random_tensors(map__0__bias=(random_student.vision_width,))
    prompt["text.0"] = phrase_embedding(random_student, learning, n_ctx).requires_grad_()
    plain = plain_method(methods.MaPLe, random_student, prompt, fixed_words=fixed_words)
    tokens = random_student.tokenizer([f"a photo of a {name.replace('_', ' ')}." for name in NAMES])
    expected = random_student.model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(plain.text_features(), expected, atol=1e-5, rtol=0)


@CASCADES
def test_maple_is_ivlp_with_mapped_vision_tokens(random_student, pixels, cascade):
    text, vision = random_student.text_width, random_student.vision_width
    learned = random_tensors(
        text__0=(2, text),
        text__1=(2, text),
        map__0__weight=(vision, text),
        map__0__bias=(vision,),
        map__1__weight=(vision, text),
        map__1__bias=(vision,),
    )
    separate = {key: learned[key] for key in ("text.0", "text.1")}
    for layer in ("0", "1"):
        mapped = learned["text." + layer] @ learned[f"map.{layer}.weight"].T
        separate["vision." + layer] = mapped + learned[f"map.{layer}.bias"]
    boosting = frozen_prompt(random_student).state_dict() if cascade else None
    maple = plain_method(methods.MaPLe, random_student, learned, fixed_words="", boosting=boosting)
    ivlp = plain_method(methods.IVLP, random_student, separate, boosting=boosting)
    loss, expected = maple.loss(pixels, LABELS), ivlp.loss(pixels, LABELS)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
    learning = list(learned.values())
    assert_gradients_agree(torch.autograd.grad(loss, learning), torch.autograd.grad(expected, learning))


@CASCADES
def test_cocoop_is_coop_with_a_context_per_image(random_student, pixels, cascade):
    """The mean over the images of CoOp's loss with the context that the meta-net gives to each."""
    clip, width, dimension = random_student.model, random_student.text_width, 96
    prompt = random_tensors(
        text__0=(4, width),
        meta__linear1__weight=(6, dimension),
        meta__linear1__bias=(6,),
        meta__linear2__weight=(width, 6),
        meta__linear2__bias=(width,),
    )
    boosting = frozen_prompt(random_student).state_dict() if cascade else {}
    vision = [[boosting[f"vision.{layer}"] for layer in range(3)]] if cascade else []
    features = F.normalize(image_features(clip, pixels, vision), dim=-1)
    losses = []
    for image, feature, label in zip(pixels, features, LABELS, strict=True):
        hidden = (prompt["meta.linear1.weight"] @ feature + prompt["meta.linear1.bias"]).clamp(min=0)
        shift = prompt["meta.linear2.weight"] @ hidden + prompt["meta.linear2.bias"]
        context = {"text.0": prompt["text.0"] + shift}
        coop = plain_method(methods.CoOp, random_student, context, boosting=boosting)
        losses.append(coop.loss(image[None], label[None]))
    expected = torch.stack(losses).mean()
    loss = plain_method(methods.CoCoOp, random_student, prompt, boosting=boosting).loss(pixels, LABELS)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
    learning = list(prompt.values())
    assert_gradients_agree(torch.autograd.grad(loss, learning), torch.autograd.grad(expected, learning))


def test_read_regions(tmp_path):
    """Regions of JPEG and grey files, against torchvision's crop and this project's own."""
    rng = np.random.default_rng(0)
    paths, mean, std = [tmp_path / "colour.jpg", tmp_path / "grey.png"], (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(paths[0])
    Image.fromarray(rng.integers(0, 256, (50, 40), dtype=np.uint8)).save(paths[1])
    geometry, size = [(10, 5, 50, 40, True), (0, 0, 40, 50, False)], (24, 32)
    regions = read_regions(paths, geometry, size, mean, std)
    assert regions.shape == (2, 3, 24, 32)
    for path, (x, y, width, height, flip), pixels in zip(paths, geometry, regions, strict=True):
        image = tv.resize(tv.crop(open_image(path), y, x, height, width), size, tv.InterpolationMode.BICUBIC)
        image = tv.horizontal_flip(image) if flip else image
        expected = tv.normalize(tv.to_dtype(tv.to_image(image), torch.float32, scale=True), mean, std)
        torch.testing.assert_close(pixels, expected)
        ours = region_pixels(open_image(path), Region(x, y, width, height, flip), size)
        torch.testing.assert_close(pixels, normalise(ours, mean, std))
