CREATE TABLE IF NOT EXISTS llama_bench (
  build_commit TEXT,
  build_number INTEGER,
  model_type TEXT
);

INSERT INTO llama_bench (build_commit, build_number, cpu_info, gpu_info, backends, model_filename, model_type, model_n_params, type_k, n_gpu_layers, split_mode, n_prompt, n_gen, n_depth, avg_ns, stddev_ns) VALUES ('abc1234', '5300', 'AMD''s EPYC', 'NVIDIA GeForce RTX 4090', 'CUDA', 'llama-3-8b-q4_k_m.gguf', 'llama 8B Q4_K - Medium', '8030261312', 'f16', '99', 'layer', '0', '50', '0', '500000000', '0');
