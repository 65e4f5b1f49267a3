"""A server of the OpenAI protocol, which is not ours, asked as clients ask: trtllm-serve, vLLM, Triton's frontend."""
