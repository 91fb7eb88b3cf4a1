"""Open every notebook in a real JupyterLab in headless Chromium, run it, and look at it.

`make test-lab` calls this; `make test` does not, for it takes minutes. Phases run with `tiny` into
a temporary store, and make what the analyses read; with PROFILE=world the analyses read the results
of that profile instead. Copies of the notebooks run, so that the committed ones keep no outputs.
Needs what nothing else here does: `pip install playwright`, and Chromium (`apt-get install
chromium`, or its path in CHROMIUM). Screenshots are kept in `results/.screenshots/`.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from lib import paths

PROFILE = os.environ.get("PROFILE") or "tiny"
SCREENSHOTS = paths.REPOSITORY / "results" / ".screenshots"
PHASES = {
    "1_pretrain": {"profile": "tiny"},
    "2_intermediate": {"profile": "tiny", "condition": "all", "seed": 0},
    "3_transfer": {"profile": "tiny", "condition": "all", "target": "all", "seed": 0},
}
NOTEBOOKS = sorted(paths.NOTEBOOKS.glob("*.ipynb"))
# One seed has no variance to draw power from: that notebook says so in a line.
WITHOUT_FIGURES = {("tiny", "analysis_power")}
SETTINGS = {
    # Cells out of sight would not be in the page.
    "@jupyterlab/notebook-extension/tracker": '{"windowingMode": "none"}',
    "@jupyterlab/apputils-extension/notification": (
        '{"fetchNews": "false", "checkForUpdates": false, "doNotDisturbMode": true}'
    ),
}
RUN_ALL = """async () => {
    const panel = window.jupyterapp.shell.currentWidget;
    await panel.sessionContext.ready;
    await window.jupyterapp.commands.execute('notebook:run-all-cells');
    return panel.content.model.sharedModel.toJSON().cells;
}"""
VISIBLE = """() => [...document.querySelectorAll('.jp-OutputArea-output img, .jp-RenderedSVG svg')]
    .filter(each => each.getBoundingClientRect().height > 50 && (each.naturalWidth ?? 1) > 0).length
"""
HEIGHT = """() => Math.max(...[...document.querySelectorAll('.jp-WindowedPanel-outer')]
    .map(each => each.scrollHeight))"""
TOP = """() => document.querySelectorAll('.jp-WindowedPanel-outer')
    .forEach(each => each.scrollTo(0, 0))"""
EXPLORER = ".jp-Cell:has(.widget-dropdown)"


def chromium() -> str:
    """Return where Chromium is; skip, with the reason, where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium, or name it in CHROMIUM")
    return found


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve copies of the notebooks by JupyterLab on this machine alone; return its address."""
    pytest.importorskip("playwright", reason="no playwright: .venv/bin/pip install playwright")
    chromium()
    folder = tmp_path_factory.mktemp("lab")
    for file in NOTEBOOKS:
        given = PHASES.get(file.stem, {"profile": PROFILE})
        copy = parameterize_notebook(load_notebook_node(str(file)), given)
        nbformat.write(copy, folder / file.name)
    for name, setting in SETTINGS.items():
        place = folder / ".settings" / f"{name}.jupyterlab-settings"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(setting)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *(f"--ServerApp.root_dir={folder}", "--ServerApp.ip=127.0.0.1"),
        *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *(f"--IdentityProvider.token={token}", "--LabApp.expose_app_in_browser=True"),
    ]
    with (folder / "log.txt").open("w") as log:
        server = subprocess.Popen(command, env=stores(folder), stdout=log, stderr=log)
        try:
            wait(f"http://127.0.0.1:{port}/api?token={token}", server, folder / "log.txt")
            yield f"http://127.0.0.1:{port}/lab/tree/{{name}}?token={token}&reset"
        finally:
            # It ends its kernels.
            server.terminate()
            server.wait(timeout=30)


def stores(folder: Path) -> dict[str, str]:
    """Return an environment whose stores are temporary; those of another profile are linked in."""
    found = {"RESULTS_ROOT": folder / ".results", "WORLDS_ROOT": folder / ".worlds"}
    for store in found.values():
        store.mkdir()
    if PROFILE != "tiny":
        results = paths.REPOSITORY / "results" / PROFILE
        assert results.is_dir(), f"no results: run `make figures PROFILE={PROFILE}` first"
        (found["RESULTS_ROOT"] / PROFILE).symlink_to(results)
        for world in (paths.REPOSITORY / "data" / "world").glob(f"{PROFILE}-*"):
            (found["WORLDS_ROOT"] / world.name).symlink_to(world)
    own = {
        "JUPYTERLAB_SETTINGS_DIR": folder / ".settings",
        "JUPYTERLAB_WORKSPACES_DIR": folder / ".workspaces",
        "JUPYTER_CONFIG_DIR": folder / ".config",
        "JUPYTER_DATA_DIR": folder / ".data",
        "FIGURES_ROOT": folder / ".figures",
    }
    return os.environ | {name: str(place) for name, place in (found | own).items()}


def wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers."""
    for _ in range(720):
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(address):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.25)
    raise AssertionError(log.read_text()[-2000:])


@pytest.fixture(scope="module")
def browser(lab: str) -> Iterator[Any]:
    """Start one headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_in_jupyterlab_and_its_figures_are_seen(
    lab: str, browser: Any, notebook: Path
) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(300_000)
    page.goto(lab.format(name=notebook.name))
    page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext")
    cells = page.evaluate(RUN_ALL)
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    picture(page, notebook.stem)
    assert [o["evalue"] for o in outputs if o["output_type"] == "error"] == []
    code = [cell for cell in cells if cell["cell_type"] == "code" and "".join(cell["source"])]
    assert all(cell["execution_count"] for cell in code)
    if notebook.stem.startswith("analysis_") and (PROFILE, notebook.stem) not in WITHOUT_FIGURES:
        assert page.evaluate(VISIBLE) > 0
    if any("explorer.show(" in "".join(cell["source"]) for cell in cells):
        explore(page, notebook.stem)
    # Nothing asks whether to save.
    page.close(run_before_unload=False)


def explore(page: Any, name: str) -> None:
    """Choose another target, another language, and type a sentence: each changes what is shown."""
    cell = page.locator(EXPLORER).last
    shown = cell.locator(".jp-RenderedHTMLCommon").first
    for label in ("target", "language"):
        before = shown.inner_text()
        menu = cell.locator(".widget-dropdown", has_text=label).locator("select").first
        values = menu.locator("option").all_inner_texts()
        current = menu.evaluate("each => each.selectedOptions[0].text")
        started = time.perf_counter()
        menu.select_option(label=next(value for value in values if value != current))
        wait_for_change(shown, before)
        print(f"{name}: another {label} in {time.perf_counter() - started:.1f} s")
    typed = cell.locator(".widget-text input")
    typed.fill("zzyzx .")
    typed.press("Enter")
    cell.locator(".jp-RenderedSVG img[src*=zzyzx]").wait_for(timeout=20_000)
    cell.screenshot(path=SCREENSHOTS / f"{PROFILE}-{name}-explorer.png")
    assert not cell.locator(".jp-OutputArea-output[data-mime-type*=error]").count()


def wait_for_change(place: Any, before: str, seconds: float = 20) -> None:
    """Wait until what is shown differs from before."""
    limit = time.perf_counter() + seconds
    while place.inner_text() == before:
        assert time.perf_counter() < limit, f"no answer to a click within {seconds} s"
        time.sleep(0.02)


def picture(page: Any, name: str) -> None:
    """Keep a picture of the whole notebook, from top to bottom."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.set_viewport_size({"width": 1280, "height": min(page.evaluate(HEIGHT) + 140, 15_000)})
    page.evaluate(TOP)
    page.wait_for_timeout(500)
    page.screenshot(path=SCREENSHOTS / f"{PROFILE}-{name}.png")
