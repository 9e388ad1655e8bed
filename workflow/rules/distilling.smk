# PromptKD: a teacher is tuned, asked about all images (lookup.smk), and a student learns from its answers.
# The larger model, tuned by PromptSRC on the few shots of the first seed.
rule tune_teacher:
    input:
        split=f"{RESULTS}/splits/{{dataset}}/split.json",
        draw=first_draw,
        stored=stored_regions("promptkd_teacher"),
        weights=layout.weights(CONFIG.backbones.teacher),
        sources=layout.sources("adapting", method="promptkd_teacher"),
    output:
        prompt=TEACHER_PROMPT,
        history=TEACHER_PROMPT.replace(".safetensors", ".history.json"),
    log:
        f"{RESULTS}/logs/teachers/{{dataset}}/{{protocol}}_{{shots}}shots.log",
    benchmark:
        f"{RESULTS}/benchmarks/teachers/{{dataset}}/{{protocol}}_{{shots}}shots.tsv"
    conda:
        COMPUTE_ENV
    threads: CONFIG.jobs.threads
    resources:
        mem_mb=memory(CONFIG.backbones.teacher),
        runtime=minutes(CONFIG.backbones.teacher, 3),
        cpus_per_task=CONFIG.jobs.threads,
        gpu=GPUS,
    params:
        template=template,
        machine=MACHINE_FLAGS,
        precision=PRECISION,
        teacher=TEACHER,
        seed=first_seed,
        regions=region_flags("promptkd_teacher"),
        stored=folder_flags("stored-regions", "stored"),
        hyperparameters=lambda wildcards: hyperparameters(wildcards, "promptkd_teacher"),
    message:
        "{wildcards.dataset}: tuning the teacher, {wildcards.protocol}"
    shell:
        "promptdistill adapt --dataset {wildcards.dataset} {DATASET_FLAGS} --split {input.split}"
        " --student {params.teacher} {params.regions} --protocol {wildcards.protocol}"
        " --method promptkd_teacher --hyperparameters {params.hyperparameters:q} --shots {wildcards.shots}"
        " --seed {params.seed} --draw {input.draw} --output {output.prompt} {params.stored}"
        " --precision {params.precision} {params.machine} --workers {CONFIG.jobs.loader_workers} 2> {log}"


# Students, without labels; their runs differ by seed alone.
for protocol, number, runs in configuration.batches(CONFIG):
    if protocol != "few_shot":

        rule:
            name:
                f"distill_{protocol}_{number}"
            input:
                split=f"{RESULTS}/splits/{{dataset}}/split.json",
                lookup=teacher_answers(None, f"{protocol}_{runs[0][0]}shots"),
                stored=stored_regions(),
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
                method=methods_learning_from("teacher"),
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
                machine=MACHINE_FLAGS,
                precision=PRECISION,
                student=STUDENT,
                lookup=subpath(input.lookup, parent=True),
                runs=", ".join(of_runs("{shots} shots seed {seed}", runs)),
                regions=region_flags(),
                stored=folder_flags("stored-regions", "stored"),
                hyperparameters=hyperparameters,
                shots=layout.flags("shots", [shots for shots, _ in runs]),
                seeds=layout.flags("seed", [seed for _, seed in runs]),
                outputs=lambda wildcards, output: layout.flags("output", output.prompts),
            message:
                "{wildcards.dataset}: learning {wildcards.method}, {wildcards.protocol}, {params.runs}"
            shell:
                "promptdistill distill --dataset {wildcards.dataset} {DATASET_FLAGS} --split {input.split}"
                " --student {params.student} {params.regions} --lookup {params.lookup}"
                " --protocol {wildcards.protocol} --method {wildcards.method}"
                " --hyperparameters {params.hyperparameters:q} {params.shots} {params.seeds} {params.outputs}"
                " {params.stored} --precision {params.precision} {params.machine}"
                " --workers {CONFIG.jobs.loader_workers} 2> {log}"
