# Predictions of test images, and accuracies.
# Finished prompts, by groups of runs, and methods that learn nothing.
TESTS = [("zero_shot", {"method": "|".join(EXPERIMENT.learning_nothing)}, [(0, None)])]
for group in EXPERIMENT.job_groups:
    TESTS.append((f"{group.protocol}_{group.index}", {"protocol": group.protocol}, group.runs))

for name, constraints, runs in TESTS:

    rule:
        name:
            f"evaluate_{name}"
        input:
            unpack(needs(graph.Predictions, runs)),
        output:
            of_runs(path(graph.Predictions), runs),
        log:
            f"{RESULTS}/logs/evaluation/{{protocol}}/{{dataset}}/{{method}}/{name}.log",
        benchmark:
            f"{RESULTS}/benchmarks/evaluation/{{protocol}}/{{dataset}}/{{method}}/{name}.tsv"
        wildcard_constraints:
            **constraints,
        group:
            "testing"
        conda:
            COMPUTE_ENV
        threads: CONFIG.jobs.threads
        resources:
            **model(STUDENT, hours=1, turn=1),
        params:
            **job(graph.Predictions, runs),
        message:
            "{wildcards.dataset}: testing {wildcards.method}, {params.key}"
        shell:
            "promptdistill evaluate {params.key} {CONFIGURATION} 2> {log:q}"


# Accuracies of every predictions file of one method.
rule metrics:
    input:
        unpack(needs(graph.Metrics)),
    output:
        path(graph.Metrics),
    log:
        f"{RESULTS}/logs/metrics/{{protocol}}/{{method}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/metrics/{{protocol}}/{{method}}.tsv"
    conda:
        "../../envs/cpu.yaml"
    params:
        **job(graph.Metrics),
    message:
        "{wildcards.method}: computing metrics, {wildcards.protocol}"
    shell:
        "promptdistill metrics {params.key} {CONFIGURATION} 2> {log:q}"
