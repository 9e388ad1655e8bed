# One rule for each batch of runs: jobs.runs_per_job says how many (shots, seed) a process trains.
for protocol, number, runs in configuration.batches(CONFIG):

    rule:
        name:
            f"adapt_{protocol}_{number}"
        input:
            split=f"{RESULTS}/splits/{{dataset}}/split.json",
            draws=of_runs(f"{RESULTS}/splits/{{dataset}}/{RUN}.json", runs),
            boosting=boosting_prompt,
            stored=stored_regions(),
            features=draw_features(runs),
            lookup=asked_teacher,
            weights=layout.weights(CONFIG.backbones.student),
            sources=lambda wildcards: layout.sources("adapting", method=wildcards.method),
        output:
            prompts=of_runs(f"{ADAPTING}/{RUN}.safetensors", runs),
            histories=of_runs(f"{ADAPTING}/{RUN}.history.json", runs),
        log:
            f"{RESULTS}/logs/adapting/{{protocol}}/{{dataset}}/{{method}}/{number}.log",
        benchmark:
            f"{RESULTS}/benchmarks/adapting/{{protocol}}/{{dataset}}/{{method}}/{layout.name_of_runs(runs)}.tsv"
        wildcard_constraints:
            protocol=protocol,
            method=methods_learning_from("regions", "images"),
        group:
            "training"
        conda:
            COMPUTE_ENV
        threads: CONFIG.jobs.threads
        resources:
            mem_mb=memory(CONFIG.backbones.student),
            runtime=minutes(CONFIG.backbones.student, 6),
            cpus_per_task=CONFIG.jobs.threads,
            gpu=GPUS,
            turn=1,
        params:
            template=template,
            machine=MACHINE_FLAGS,
            precision=PRECISION,
            student=STUDENT,
            runs=", ".join(of_runs("{shots} shots seed {seed}", runs)),
            regions=region_flags(),
            stored=folder_flags("stored-regions", "stored"),
            features=folder_flags("features", "features"),
            lookup=folder_flags("lookup", "lookup"),
            boosting=boosting_flag,
            hyperparameters=hyperparameters,
            shots=layout.flags("shots", [shots for shots, _ in runs]),
            seeds=layout.flags("seed", [seed for _, seed in runs]),
            draws=lambda wildcards, input: layout.flags("draw", input.draws),
            outputs=lambda wildcards, output: layout.flags("output", output.prompts),
        message:
            "{wildcards.dataset}: learning {wildcards.method}, {wildcards.protocol}, {params.runs}"
        shell:
            "promptdistill adapt --dataset {wildcards.dataset} {DATASET_FLAGS} --split {input.split}"
            " --student {params.student} {params.regions} --protocol {wildcards.protocol}"
            " --method {wildcards.method} {params.boosting} --hyperparameters {params.hyperparameters:q}"
            " {params.shots} {params.seeds} {params.draws} {params.features} {params.lookup} {params.outputs} {params.stored}"
            " --precision {params.precision} {params.machine} --workers {CONFIG.jobs.loader_workers} 2> {log}"
