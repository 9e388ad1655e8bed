# Predictions of test images, and accuracies.
# A method that learns nothing.
rule evaluate_zero_shot:
    input:
        unpack(needs(graph.Predictions, [(0, None)])),
    output:
        of_runs(path(graph.Predictions), [(0, "-")]),
    log:
        f"{RESULTS}/logs/evaluation/{{protocol}}/{{dataset}}/{{method}}/zero_shot.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/{{protocol}}/{{dataset}}/{{method}}/zero_shot.tsv"
    wildcard_constraints:
        method=methods_learning_from("nothing"),
    group:
        "testing"
    conda:
        COMPUTE_ENV
    threads: CONFIG.jobs.threads
    resources:
        mem_mb=memory(STUDENT),
        runtime=minutes(STUDENT, 1),
        cpus_per_task=CONFIG.jobs.threads,
        gpu=GPUS,
        turn=1,
    params:
        key=keys(graph.Predictions, [(0, None)]),
        depends=depends(graph.Predictions, [(0, None)]),
    message:
        "{wildcards.dataset}: testing {wildcards.method}, {wildcards.protocol}"
    shell:
        "promptdistill evaluate {params.key} {CONFIGURATION} 2> {log}"


# Finished prompts.
for group in EXPERIMENT.job_groups:

    rule:
        name:
            f"evaluate_{group.protocol}_{group.index}"
        input:
            unpack(needs(graph.Predictions, group.runs)),
        output:
            of_runs(path(graph.Predictions), group.runs),
        log:
            f"{RESULTS}/logs/evaluation/{{protocol}}/{{dataset}}/{{method}}/{group.index}.log",
        benchmark:
            f"{RESULTS}/benchmarks/evaluation/{{protocol}}/{{dataset}}/{{method}}/{group.index}.tsv"
        wildcard_constraints:
            protocol=group.protocol,
        group:
            "testing"
        conda:
            COMPUTE_ENV
        threads: CONFIG.jobs.threads
        resources:
            mem_mb=memory(STUDENT),
            runtime=minutes(STUDENT, 1),
            cpus_per_task=CONFIG.jobs.threads,
            gpu=GPUS,
            turn=1,
        params:
            runs=keys(graph.Predictions, group.runs),
            depends=depends(graph.Predictions, group.runs),
        message:
            "{wildcards.dataset}: testing {wildcards.method}, {params.runs}"
        shell:
            "promptdistill evaluate {params.runs} {CONFIGURATION} 2> {log}"


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
    threads: 1
    resources:
        mem_mb=2000,
        runtime="30m",
    params:
        key=keys(graph.Metrics),
        depends=depends(graph.Metrics),
    message:
        "{wildcards.method}: computing metrics, {wildcards.protocol}"
    shell:
        "promptdistill metrics {params.key} {CONFIGURATION} 2> {log}"
