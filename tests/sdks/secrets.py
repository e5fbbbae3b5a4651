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
