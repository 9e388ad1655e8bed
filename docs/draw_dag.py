"""The picture of the workflow in the README: Snakemake's graph of rules, each with the module that does it.

Reads what `snakemake --rulegraph` prints, and writes Graphviz's language: `make dag`.
"""

import re
import sys

from promptdistill import graph

# Nearly every step reads the split, and the import into MLflow reads nearly all: of these arrows, those that
# others imply are left out.
BUSY = ("split", "track")


def main() -> None:
    """One node a rule; rules that differ in the group of runs alone are one."""
    kinds = [kind for kind in vars(graph).values() if hasattr(kind, "rule") and hasattr(kind, "code")]
    working = {kind.rule: [name for name in kind.code if not name.startswith("cli.")] for kind in kinds}
    modules = {rule: f"{names[0].replace('.', '/')}.py" for rule, names in working.items()}
    text = sys.stdin.read()
    names = {
        node: re.sub(r"_base_to_novel_\d+|_zero_shot", "", label)
        for node, label in re.findall(r'(\d+)\[label = "(\w+)"', text)
    }
    edges = {(names[start], names[end]) for start, end in re.findall(r"(\d+) -> (\d+)", text)}
    edges = {(start, end) for start, end in edges if end in modules}
    shown = sorted(edge for edge in edges if not set(edge) & set(BUSY) or not implied(edge, edges))
    print('digraph promptdistill { graph[margin=0, nodesep=0.35, ranksep=0.3]; edge[color="grey50"];')
    print('node[shape=box, style="rounded,filled", fillcolor="grey95", color="grey50"];')
    print("node[fontname=sans, fontsize=11];")
    for name in dict.fromkeys(name for name in names.values() if name in modules):
        link = f"../src/promptdistill/{modules[name]}"
        print(f'{name}[label=<<b>{name}</b><br/>{modules[name]}>, URL="{link}", target="_top"];')
    print("\n".join(f"{start} -> {end};" for start, end in shown), "}", sep="\n")


def implied(edge: tuple[str, str], edges: set[tuple[str, str]]) -> bool:
    """Whether another way leads from an arrow's start to its end."""
    waiting, seen = [edge[0]], set()
    while waiting:
        here = waiting.pop()
        after = {end for start, end in edges if start == here and (start, end) != edge}
        waiting += after - seen
        seen |= after
    return edge[1] in seen


main()
