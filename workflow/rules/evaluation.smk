# Predict a protocol's test images with a method that learns nothing.
rule evaluate_zero_shot:
    input:
        split=f"{RESULTS}/splits/{{dataset}}/split.json",
        features=test_features,
        weights=layout.weights(CONFIG.backbones.student),
        sources=lambda wildcards: layout.sources("evaluation", method=wildcards.method),
    output:
        f"{PREDICTIONS}/0shots.parquet",
    log:
        f"{RESULTS}/logs/evaluation/{{protocol}}/{{dataset}}/{{method}}/0shots.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/{{protocol}}/{{dataset}}/{{method}}/0shots.tsv"
    wildcard_constraints:
        method=methods_learning_from("nothing"),
    group:
        "testing"
    conda:
        COMPUTE_ENV
    threads: CONFIG.jobs.threads
    resources:
        mem_mb=memory(CONFIG.backbones.student),
        runtime=minutes(CONFIG.backbones.student, 1),
        cpus_per_task=CONFIG.jobs.threads,
        gpu=GPUS,
        turn=1,
    params:
        template=template,
        machine=MACHINE_FLAGS,
        precision=PRECISION,
        features=folder_flags("features", "features"),
        student=STUDENT,
    message:
        "{wildcards.dataset}: testing {wildcards.method}, {wildcards.protocol}"
    shell:
        "promptdistill evaluate --dataset {wildcards.dataset} {DATASET_FLAGS} --split {input.split}"
        " --student {params.student} --protocol {wildcards.protocol} --method {wildcards.method} {params.features}"
        " --precision {params.precision} --batch-size {CONFIG.jobs.eval_batch_size} --output {output} {params.machine} --workers {CONFIG.jobs.loader_workers} 2> {log}"


# Predict a protocol's test images with finished prompts.
for protocol, number, runs in configuration.batches(CONFIG):

    rule:
        name:
            f"evaluate_{protocol}_{number}"
        input:
            split=f"{RESULTS}/splits/{{dataset}}/split.json",
            prompts=finished_prompts(runs),
            boosting=boosting_prompt,
            features=test_features,
            weights=layout.weights(CONFIG.backbones.student),
            sources=lambda wildcards: layout.sources("evaluation", method=wildcards.method),
        output:
            of_runs(f"{PREDICTIONS}/{RUN}.parquet", runs),
        log:
            f"{RESULTS}/logs/evaluation/{{protocol}}/{{dataset}}/{{method}}/{number}.log",
        benchmark:
            f"{RESULTS}/benchmarks/evaluation/{{protocol}}/{{dataset}}/{{method}}/{number}.tsv"
        wildcard_constraints:
            protocol=protocol,
        group:
            "testing"
        conda:
            COMPUTE_ENV
        threads: CONFIG.jobs.threads
        resources:
            mem_mb=memory(CONFIG.backbones.student),
            runtime=minutes(CONFIG.backbones.student, 1),
            cpus_per_task=CONFIG.jobs.threads,
            gpu=GPUS,
            turn=1,
        params:
            template=template,
            machine=MACHINE_FLAGS,
            precision=PRECISION,
            features=folder_flags("features", "features"),
            student=STUDENT,
            runs=", ".join(of_runs("{shots} shots seed {seed}", runs)),
            boosting=boosting_flag,
            prompts=lambda wildcards, input: layout.flags("prompt", input.prompts),
            outputs=lambda wildcards, output: layout.flags("output", output),
        message:
            "{wildcards.dataset}: testing {wildcards.method}, {wildcards.protocol}, {params.runs}"
        shell:
            "promptdistill evaluate --dataset {wildcards.dataset} {DATASET_FLAGS} --split {input.split}"
            " --student {params.student} --protocol {wildcards.protocol} --method {wildcards.method} {params.boosting} {params.prompts}"
            " {params.features} --precision {params.precision} --batch-size {CONFIG.jobs.eval_batch_size} {params.outputs} {params.machine} --workers {CONFIG.jobs.loader_workers} 2> {log}"


# Accuracies of every predictions file of one method.
rule metrics:
    input:
        predictions=predictions,
        sources=layout.sources("metrics"),
    output:
        f"{RESULTS}/metrics/{{protocol}}/{{method}}.json",
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
    message:
        "{wildcards.method}: computing metrics, {wildcards.protocol}"
    shell:
        "promptdistill metrics {input.predictions} --output {output} 2> {log}"
