# Predict the test images of base and novel classes with a method that learns nothing.
rule evaluate_zero_shot:
    input:
        split=f"{RESULTS}/splits/{{dataset}}/split.json",
        features=test_features,
        weights=layout.weights(CONFIG.backbones.student),
        sources=lambda wildcards: layout.sources("evaluation", method=wildcards.method),
    output:
        f"{PREDICTIONS}/0shots.parquet",
    log:
        f"{RESULTS}/logs/evaluation/base_to_novel/{{dataset}}/{{method}}/0shots.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluation/base_to_novel/{{dataset}}/{{method}}/0shots.tsv"
    conda:
        COMPUTE_ENV
    threads: CONFIG.jobs.threads
    resources:
        mem_mb=16000,
        runtime="4h",
        gpu=GPUS,
    params:
        template=template,
        machine=MACHINE_FLAGS,
        precision=PRECISION,
        features=folder_flags("features", "features"),
        student=STUDENT,
    message:
        "{wildcards.dataset}: testing {wildcards.method}"
    shell:
        "promptdistill evaluate --dataset {wildcards.dataset} {DATASET_FLAGS} --split {input.split}"
        " --student {params.student} --method {wildcards.method} {params.features}"
        " --precision {params.precision} --batch-size {CONFIG.jobs.eval_batch_size} --output {output} {params.machine} --workers {CONFIG.jobs.loader_workers} 2> {log}"


for seeds in layout.seed_batches(CONFIG):

    rule:
        name:
            f"evaluate_seed_{'_'.join(map(str, seeds))}"
        input:
            split=f"{RESULTS}/splits/{{dataset}}/split.json",
            prompts=[f"{ADAPTING}/{{shots}}shots_seed{seed}.safetensors" for seed in seeds],
            boosting=boosting_prompt,
            features=test_features,
            weights=layout.weights(CONFIG.backbones.student),
            sources=lambda wildcards: layout.sources("evaluation", method=wildcards.method),
        output:
            [f"{PREDICTIONS}/{{shots}}shots_seed{seed}.parquet" for seed in seeds],
        log:
            f"{RESULTS}/logs/evaluation/base_to_novel/{{dataset}}/{{method}}/"
            f"{{shots}}shots_seed{'_'.join(map(str, seeds))}.log",
        benchmark:
            (
                f"{RESULTS}/benchmarks/evaluation/base_to_novel/{{dataset}}/{{method}}/"
                f"{{shots}}shots_seed{'_'.join(map(str, seeds))}.tsv"
            )
        conda:
            COMPUTE_ENV
        threads: CONFIG.jobs.threads
        resources:
            mem_mb=16000,
            runtime="4h",
            gpu=GPUS,
        params:
            template=template,
            machine=MACHINE_FLAGS,
            precision=PRECISION,
            features=folder_flags("features", "features"),
            student=STUDENT,
            seed_list=", ".join(map(str, seeds)),
            boosting=boosting_flag,
            prompts=lambda wildcards, input: layout.flags("prompt", input.prompts),
            outputs=lambda wildcards, output: layout.flags("output", output),
        message:
            "{wildcards.dataset}: testing {wildcards.method}, seeds {params.seed_list}"
        shell:
            "promptdistill evaluate --dataset {wildcards.dataset} {DATASET_FLAGS} --split {input.split}"
            " --student {params.student} --method {wildcards.method} {params.boosting} {params.prompts}"
            " {params.features} --precision {params.precision} --batch-size {CONFIG.jobs.eval_batch_size} {params.outputs} {params.machine} --workers {CONFIG.jobs.loader_workers} 2> {log}"


# Accuracies of every predictions file of the protocol.
rule metrics:
    input:
        predictions=[path for method in CONFIG.methods for path in predictions(method)],
        sources=layout.sources("metrics"),
    output:
        f"{RESULTS}/metrics/base_to_novel.json",
    log:
        f"{RESULTS}/logs/metrics/base_to_novel.log",
    benchmark:
        f"{RESULTS}/benchmarks/metrics/base_to_novel.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="30m",
    message:
        "computing metrics"
    shell:
        "promptdistill metrics {input.predictions} --output {output} 2> {log}"
