"""llama.cpp's log, kept instead of printed: what it placed where, and why it could not."""

import re
from ctypes import CFUNCTYPE, c_char_p, c_int, c_void_p

OnLog = CFUNCTYPE(None, c_int, c_char_p, c_void_p)


DEBUG, ERROR, CONTINUED = 1, 4, 5
MOST_LINES = 20_000
_ORIGIN = re.compile(r"^[\w:~]+: +(error: +)?")
_BUFFER = re.compile(r"(\S+)\s+model buffer size\s*=\s*([\d.]+) MiB")


class Log:
    """The lines of one library since they were last cleared: llama.cpp knows one listener for the whole process."""

    def __init__(self) -> None:
        self._lines: list[tuple[int, str]] = []
        self.callback = OnLog(self._hear)
        """Must live as long as the library, which calls it whenever it has something to say."""

    def _hear(self, level: int, text: bytes | None, _: object) -> None:
        if level <= DEBUG:
            return
        said = (text or b"").decode(errors="replace")
        if level == CONTINUED and self._lines:
            level, before = self._lines[-1]
            if not before.endswith("\n"):
                self._lines[-1] = (level, before + said)
                return
        if len(self._lines) < MOST_LINES:
            self._lines.append((level, said))

    def clear(self) -> None:
        self._lines.clear()

    def text(self) -> str:
        return "".join(said for _, said in self._lines)

    def errors(self) -> list[str]:
        """Its lines of errors, without the function that wrote each."""
        return [
            _ORIGIN.sub("", " ".join(said.split()))
            for level, said in self._lines
            if level == ERROR and said.strip(". \n")
        ]

    def reason(self) -> str:
        """Why the last call failed, in llama.cpp's own words: its first line of an error, which the others repeat."""
        found = self.errors()
        return found[0].removeprefix("error loading model: ") if found else "llama.cpp gave no reason"

    def model_buffers(self) -> dict[str, float]:
        """Buffer of llama.cpp → MiB of weights in it, from its lines while it loaded."""
        found: dict[str, float] = {}
        for name, size in _BUFFER.findall(self.text()):
            found[name] = found.get(name, 0.0) + float(size)
        return found
