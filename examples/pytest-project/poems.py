"""Poems on demand."""

from openai import OpenAI

PROMPT = "Write a poem of four lines about {subject}. Do not rhyme."


def poem(subject):
    """Return a poem, line by line."""
    answer = OpenAI().chat.completions.create(
        model="gpt-5", messages=[{"role": "user", "content": PROMPT.format(subject=subject)}]
    )
    return answer.choices[0].message.content.splitlines()


def moods(subject, count):
    """Return what comes to a model's mind, several times over."""
    question = [{"role": "user", "content": f"One word: which mood is {subject}?"}]
    client = OpenAI()
    return [
        client.chat.completions.create(model="gpt-5-mini", messages=question).choices[0].message.content
        for _ in range(count)
    ]
