"""A server that refuses everything, in one line: where, its status and words, and what to do about it."""

from bench.endpoint.asked import Answer
from bench.errors import InputError
from bench.schema import Endpoint

REMEDIES = {
    "refused": "start the server, or correct base_url",
    "dns": "correct the host in base_url",
    "tls": "name the certificate to trust with ca_file, or correct base_url (http or https)",
    "timeout": "is the model still loading? Raise timeout_s, or correct base_url",
    "redirect": "set base_url to where it redirects; redirects are not followed, because the key would go along",
    "cut": "look into the server's log: it closed the connection",
    "malformed": "is this an HTTP server, and should base_url say https?",
    400: "look at body, model and api: nothing of the probe's own was left to leave out",
    402: "the account has no credit",
    404: "check model, api and base_url (most servers want /v1 at its end)",
    405: "check base_url: this path takes no requests",
    408: "raise timeout_s",
    413: "the server takes no prompts of even 80 words",
    429: "wait, or use a key with a higher limit: a benchmark needs one",
    500: "look into the server's log",
    502: "the server behind this address is not there; look into its log",
    503: "wait until the model is loaded",
}


def refusal(answer: Answer, endpoint: Endpoint, where: str, model: str) -> InputError:
    """What to raise for an answer that nothing could be made of."""
    if answer.failure is not None:
        what = answer.message if answer.message != answer.failure else f"no answer ({answer.failure})"
        return InputError(f"{where}: {what}; {REMEDIES.get(answer.failure, REMEDIES['refused'])}")
    status = answer.status or 0
    if status in (401, 403):
        remedy = (
            "name the environment variable of its key with key_env"
            if endpoint.key_env is None
            else f"is the key in {endpoint.key_env} right for this server?"
        )
    elif 300 <= status < 400:
        remedy = REMEDIES["redirect"]
    elif status == 200:
        remedy = "is this an OpenAI-compatible server? Look into its log, and check base_url and api"
    else:
        remedy = REMEDIES.get(status) or REMEDIES[500 if status >= 500 else 400]
    asked = f", asked for model {model!r}" if status in (400, 404, 422) else ""
    return InputError(f"{where}: {status} ({answer.message}){asked}; {remedy}")
