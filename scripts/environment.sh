# Sourced by the other scripts: makes .venv with the pinned packages once, and finds it ready afterwards.
# prepare_environment [EXTRAS]   optional dependencies of pyproject.toml, such as test, with commas between them

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="$root/.venv"

find_python() {
  local name
  for name in ${BENCH_PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      echo "$name"
      return
    fi
  done
  echo "error: Python 3.11 or newer was not found; install it, or set BENCH_PYTHON to its path" >&2
  return 2
}

# PyPI's torch for Linux on x86-64 brings several gigabytes of CUDA. Without an NVIDIA driver a CPU build does, and pip
# takes one (version +cpu) wherever its own configuration offers it.
install_torch() {
  local version
  version="$(sed -n 's/^torch==//p' "$root/constraints.txt")"
  if [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] && [ ! -e /proc/driver/nvidia/version ]; then
    if "$venv/bin/pip" install --quiet --constraint "$root/constraints.txt" "torch==$version+cpu" 2>/dev/null; then
      return
    fi
    echo "note: pip offers no CPU build of torch here, so the CUDA build comes (several GB);" >&2
    echo "      to avoid that, set PIP_EXTRA_INDEX_URL to PyTorch's index of CPU wheels and start again" >&2
  fi
  "$venv/bin/pip" install --quiet --constraint "$root/constraints.txt" "torch==$version"
}

# The name of the extra that counts joules, where this machine has a counter for it to read.
energy_extra() {
  local counter
  for counter in /proc/driver/nvidia/version /dev/kfd /sys/class/powercap/intel-rapl; do
    if [ -e "$counter" ]; then
      echo energy
      return
    fi
  done
}

install_all() {
  local extra="$1" extras python
  if [ ! -x "$venv/bin/pip" ]; then
    python="$(find_python)" || return 2
    echo "making .venv with $("$python" --version) (once)" >&2
    if ! "$python" -m venv "$venv"; then
      rm -rf "$venv"
      echo "error: $python cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2
      return 2
    fi
  fi
  echo "installing pinned packages (once; some minutes)" >&2
  install_torch || return 2
  extras="$(printf '%s\n' $extra $(energy_extra) | paste -sd, -)"
  "$venv/bin/pip" install --quiet --constraint "$root/constraints.txt" --editable "$root${extras:+[$extras]}"
}

# Whether Playwright has downloaded a Chromium of its own.
downloaded_browser() {
  "$venv/bin/python" - <<'END' 2>/dev/null
from pathlib import Path
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    raise SystemExit(not Path(playwright.chromium.executable_path).exists())
END
}

# The browser that tests of the page drive: the one that BENCH_CHROMIUM names; else the system's, Playwright's, Debian's
# package where root asks for it, or a download of Playwright's. tests/browser.py looks in the same places.
prepare_browser() {
  local name
  if [ -n "${BENCH_CHROMIUM:-}" ]; then
    if command -v "$BENCH_CHROMIUM" >/dev/null; then return; fi
    echo "error: BENCH_CHROMIUM: $BENCH_CHROMIUM is no program; name a Chromium, or unset it" >&2
    exit 2
  fi
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null; then return; fi
  done
  if downloaded_browser; then return; fi
  echo "installing Chromium (once)" >&2
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    if apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
      chromium fonts-dejavu-core >/dev/null; then return; fi
  fi
  if "$venv/bin/playwright" install chromium; then return; fi
  echo "error: no Chromium for the tests of the page; install it (Debian: apt install chromium), or set BENCH_CHROMIUM" >&2
  exit 2
}

prepare_environment() {
  local extra="${1:-}" wanted stamp
  wanted="$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum | tr ' ' -)"
  stamp="$venv/.ready-${extra:-run}"
  case "$extra" in *[!a-z0-9,-]*) echo "error: BENCH_EXTRAS: '$extra'; write names with commas, such as llamacpp" >&2; return 2 ;; esac
  # The environment of the tests holds all that a run needs.
  if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] || [ "$(cat "$venv/.ready-test" 2>/dev/null)" = "$wanted" ]; then
    return
  fi
  # Two first calls at once: the second waits, then finds the work done.
  mkdir -p "$root/.venv"
  exec 9>"$venv/.lock"
  if command -v flock >/dev/null; then flock 9; fi
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    if ! install_all "$extra"; then
      echo "error: the environment could not be made; what pip said stands above; the same command tries again" >&2
      exit 2
    fi
    echo "$wanted" >"$stamp"
  fi
  exec 9>&-
}
