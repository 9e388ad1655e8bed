"""What the small experiment makes."""

PATTERNS = "mini_patterns"
TABLES = ("tables/base_to_novel", "tables/few_shot")
METRICS = tuple(
    f"metrics/{name}.json"
    for name in (
        *("base_to_novel/zero_shot", "base_to_novel/coop", "base_to_novel/coop+caspl"),
        *("few_shot/zero_shot", "few_shot/linear_probe"),
    )
)
JOBS = {"base_to_novel": [[[2, 1], [2, 2]]], "few_shot": [[[1, 1], [2, 1]]]}
COOP, CASCADED = (f"base_to_novel/{PATTERNS}/{method}/2/1" for method in ("coop", "coop+caspl"))
ZERO_SHOT = f"base_to_novel/{PATTERNS}/zero_shot/0/-"
PROBE = f"few_shot/{PATTERNS}/linear_probe/2/1"
KEYS = {
    *("table/base_to_novel", ZERO_SHOT, COOP, CASCADED, COOP[:-1] + "2", CASCADED[:-1] + "2"),
    *("table/few_shot", f"few_shot/{PATTERNS}/zero_shot/0/-", PROBE, PROBE.replace("/2/", "/1/")),
}
