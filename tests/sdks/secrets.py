"""The credentials that the calls are made with; no store may ever contain one of them."""

OPENAI_KEY = "sk-test-SECRET-openai-3f9a1c"
OPENAI_ORGANIZATION = "org-SECRET-openai-77d0e2"
OPENAI_PROJECT = "proj_SECRET-openai-51bb90"
AZURE_KEY = "azure-test-SECRET-8c41fe"
ANTHROPIC_KEY = "sk-ant-test-SECRET-anthropic-b2e6d7"
GEMINI_KEY = "AIza-test-SECRET-gemini-0d94aa"
MISTRAL_KEY = "mistral-test-SECRET-e1f7c3"
COHERE_KEY = "cohere-test-SECRET-94b0f5"
GROQ_KEY = "gsk_test-SECRET-groq-6a28d1"
OLLAMA_KEY = "ollama-test-SECRET-c7351e"
TOGETHER_KEY = "together-test-SECRET-2b8e40"
CEREBRAS_KEY = "csk-test-SECRET-cerebras-91d7fa"
FIREWORKS_KEY = "fw_test-SECRET-fireworks-0c3be6"
HUGGING_FACE_KEY = "hf_test-SECRET-huggingface-a75d19"
REPLICATE_KEY = "r8_test-SECRET-replicate-44e02f"
GOOGLE_TOKEN = "ya29.test-SECRET-google-d1a6b8"
AWS_ID = "AKIATESTSECRET0000ID"
AWS_KEY = "aws-test-SECRET-e93b57"
AWS_TOKEN = "aws-token-test-SECRET-70fc2a"
BEDROCK_KEY = "bedrock-test-SECRET-5e81cd"

SECRETS = [
    OPENAI_KEY,
    OPENAI_ORGANIZATION,
    OPENAI_PROJECT,
    AZURE_KEY,
    ANTHROPIC_KEY,
    GEMINI_KEY,
    MISTRAL_KEY,
    COHERE_KEY,
    GROQ_KEY,
    OLLAMA_KEY,
]
# What the SDKs use that are called in environments of their own.
MORE_SECRETS = [
    TOGETHER_KEY,
    CEREBRAS_KEY,
    FIREWORKS_KEY,
    HUGGING_FACE_KEY,
    REPLICATE_KEY,
    GOOGLE_TOKEN,
    AWS_ID,
    AWS_KEY,
    AWS_TOKEN,
    BEDROCK_KEY,
]
