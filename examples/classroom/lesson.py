"""Lesson 1: what a language model answers, as text, numbers, pictures and sound."""

from urllib.request import urlopen

import askonce.openai as openai

client = openai.OpenAI()


def ask(question, **more):
    """Put one question to the model."""
    return client.chat.completions.create(
        model="gpt-5-mini", messages=[{"role": "user", "content": question}], **more
    )


# A question, and its answer.
answer = ask("What is a café?")
print("Answer:", answer.choices[0].message.content)
print("Tokens:", answer.usage.total_tokens)

# A model does not always say the same. Each seed names an answer of its own; without one they come round.
for seed in (1, 2, 3):
    print("Seed", seed, "says", ask("A number from 1 to 200?", seed=seed).choices[0].message.content)
for _ in range(4):
    print("Next:", ask("A number from 1 to 200?").choices[0].message.content)

# An answer as it is being written.
for chunk in ask("A line about the sea.", stream=True):
    if chunk.choices and chunk.choices[0].delta.content:
        print(chunk.choices[0].delta.content, end="|")
print()

# Words as numbers.
words = client.embeddings.create(model="text-embedding-3-small", input=["coffee", "tea"])
for item in words.data:
    print("Embedding", item.index, [round(value, 3) for value in item.embedding[:4]])

# A picture, at an address that works for students too.
picture = client.images.generate(model="dall-e-3", prompt="A café by the sea", response_format="url")
with urlopen(picture.data[0].url) as file:
    print("Picture:", len(file.read()), "bytes")

# A voice, and what was said.
speech = client.audio.speech.create(model="tts-1", voice="alloy", input="Good morning!")
speech.write_to_file("morning.mp3")
with open("morning.mp3", "rb") as file:
    print("Heard:", client.audio.transcriptions.create(model="whisper-1", file=file).text)
