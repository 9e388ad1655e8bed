# One rule for each batch of seeds: jobs.seeds_per_job says how many seeds a process trains.
for seeds in layout.seed_batches(CONFIG):

    rule:
        name:
            f"adapt_seed_{'_'.join(map(str, seeds))}"
        input:
            split=f"{RESULTS}/splits/{{dataset}}/split.json",
            draws=[f"{RESULTS}/splits/{{dataset}}/{{shots}}shots_seed{seed}.json" for seed in seeds],
            boosting=boosting_prompt,
            stored=stored_regions(),
            features=draw_features(seeds),
            weights=layout.weights(CONFIG.backbones.student),
            sources=lambda wildcards: layout.sources("adapting", method=wildcards.method),
        output:
            prompts=[f"{ADAPTING}/{{shots}}shots_seed{seed}.safetensors" for seed in seeds],
            histories=[f"{ADAPTING}/{{shots}}shots_seed{seed}.history.json" for seed in seeds],
        log:
            f"{RESULTS}/logs/adapting/base_to_novel/{{dataset}}/{{method}}/"
            f"{{shots}}shots_seed{'_'.join(map(str, seeds))}.log",
        benchmark:
            (
                f"{RESULTS}/benchmarks/adapting/base_to_novel/{{dataset}}/{{method}}/"
                f"{{shots}}shots_seed{'_'.join(map(str, seeds))}.tsv"
            )
        conda:
            COMPUTE_ENV
        threads: CONFIG.jobs.threads
        resources:
            mem_mb=16000,
            runtime="12h",
            gpu=GPUS,
        params:
            template=template,
            machine=MACHINE_FLAGS,
            precision=PRECISION,
            student=STUDENT,
            seed_list=", ".join(map(str, seeds)),
            crops=lambda wildcards: region_count(wildcards, wildcards.method),
            regions=REGION_FLAGS,
            stored=folder_flags("stored-regions", "stored"),
            features=folder_flags("features", "features"),
            boosting=boosting_flag,
            hyperparameters=hyperparameters,
            seeds=layout.flags("seed", seeds),
            draws=lambda wildcards, input: layout.flags("draw", input.draws),
            outputs=lambda wildcards, output: layout.flags("output", output.prompts),
        message:
            "{wildcards.dataset}: learning {wildcards.method}, seeds {params.seed_list}"
        shell:
            "promptdistill adapt --dataset {wildcards.dataset} {DATASET_FLAGS} --split {input.split}"
            " --student {params.student} --regions {params.crops} {params.regions} --method {wildcards.method} {params.boosting}"
            " --hyperparameters {params.hyperparameters:q} --shots {wildcards.shots}"
            " {params.seeds} {params.draws} {params.features} {params.outputs} {params.stored}"
            " --precision {params.precision} {params.machine} --workers {CONFIG.jobs.loader_workers} 2> {log}"
