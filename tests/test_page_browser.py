"""The page in a real Chromium: what a person does by mouse and by keyboard, at two widths, light and dark.

Skipped where Chromium, its driver or Selenium is not there. ``ROOFCAST_SCREENSHOTS`` names a folder for pictures of it.
"""

import base64
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="no Selenium (roofcast[test])")
pytest.importorskip("uvicorn", reason="the page needs roofcast[page]")
import uvicorn
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from simulator.page.app import make_app
from simulator.page.questions import ASKS
from simulator.page.serve import listen

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
if not CHROMIUM or not DRIVER:
    pytest.skip("no Chromium or no chromedriver on the path", allow_module_level=True)
Browser = Any
QUESTION = "predict?model=llama-3.1-8b&hardware=h100-sxm-80gb"
VISITS = {
    "predict": QUESTION,
    "explain": "explain?calibration=none",
    "compare": "compare?batch_size=1-64*4",
    "simulate": "simulate?concurrency=4&num_requests=12",
    "recommend": "recommend?devices=h100-sxm-80gb,l40s&concurrency=4&num_requests=9&max_devices=1&slo=ttft_s_p99:2",
    "solve": "solve?slo=tpot_s:20ms",
    "error": "predict?model=llama-3.1-8bb",
}
READY = (
    "return !document.querySelector('.stale, .waiting') && document.getElementById('progress').hidden"
    " && document.getElementById('answer').children.length > 0"
)
SETTLE_S = 0.15  # longer than the page waits before it asks
MOST_S = 20.0


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The page, served beside the tests."""
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(make_app(), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(5)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium without a screen, and without a sandbox, which needs rights that a container has not."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def wait(found: Callable[[], Any], what: str) -> Any:
    """Wait until something is so."""
    end = time.monotonic() + MOST_S
    while time.monotonic() < end:
        value = found()
        if value:
            return value
        time.sleep(0.03)
    raise AssertionError(f"not within {MOST_S:.0f} s: {what}")


def visit(browser: Browser, address: str, path: str) -> None:
    """Open a link and wait for its answer."""
    browser.get(f"{address}/{path}")
    time.sleep(SETTLE_S)
    wait(lambda: browser.execute_script(READY), f"the answer of {path}")


def read_cards(browser: Browser) -> list[str]:
    """The numbers that the page shows."""
    cards: list[str] = browser.execute_script(
        "return [...document.querySelectorAll('.cards b')].map((e) => e.textContent)"
    )
    return cards


def change(browser: Browser, act: Callable[[], None]) -> list[str]:
    """Do something, and return the numbers once they are others."""
    before = read_cards(browser)
    act()
    wait(lambda: browser.execute_script(READY) and read_cards(browser) != before, "another answer")
    return read_cards(browser)


@pytest.mark.parametrize("width", [400, 1600])
def test_every_question_is_legible_in_light_and_dark(browser: Browser, address: str, width: int) -> None:
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for name, path in VISITS.items():
        visit(browser, address, path)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, name
        assert browser.execute_script(SMALLEST) >= 11, name
        for scheme in ("light", "dark"):
            wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)
            assert browser.execute_script(CONTRAST) >= 4.5, (name, scheme)
            save(browser, f"{name}-{width}-{scheme}", width)


# The smallest text in pixels of the screen; pictures may be drawn smaller than they are.
SMALLEST = """
const shown = [...document.querySelectorAll('svg text, label, td, dd, p')].filter((e) => e.getClientRects().length);
return Math.min(...shown.map((e) => parseFloat(getComputedStyle(e).fontSize) * (e.ownerSVGElement
  ? e.ownerSVGElement.getBoundingClientRect().width / e.ownerSVGElement.viewBox.baseVal.width : 1)));
"""
# The least contrast of text and what is behind it, as WCAG 2.2 has it.
CONTRAST = """
const luminance = (colour) => { const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(
  (c) => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
  if (c !== 'rgba(0, 0, 0, 0)') return c; } return 'rgb(255, 255, 255)'; };
let least = 21;
const told = 'p, dt, dd, b, span, td, th, label, summary, legend, button, a, pre, svg text';
for (const e of document.querySelectorAll(told)) {
  if (!e.getClientRects().length || !e.textContent.trim()) continue;
  const style = getComputedStyle(e), colour = e.ownerSVGElement ? style.fill : style.color;
  const [a, b] = [luminance(colour), luminance(behind(e.ownerSVGElement || e))];
  least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
}
return least;
"""


def save(browser: Browser, name: str, width: int) -> None:
    """Keep a picture of the page, where a folder is named."""
    folder = os.environ.get("ROOFCAST_SCREENSHOTS")
    if folder:
        height = min(browser.execute_script("return document.documentElement.scrollHeight"), 4000)
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


def test_the_answer_follows_slider_and_keyboard_and_a_link_reproduces_it(browser: Browser, address: str) -> None:
    visit(browser, address, QUESTION)
    slider = browser.find_element(By.CSS_SELECTOR, "input[data-for=batch_size]")
    assert slider.get_attribute("aria-label") == "batch size, slider"
    moved = change(browser, lambda: slider.send_keys(Keys.ARROW_RIGHT))
    assert browser.find_element(By.ID, "batch_size").get_attribute("value") == "2"
    assert "batch_size=2" in browser.current_url
    assert "-b 2" in browser.find_element(By.ID, "copy-command").text
    assert "batch_size=2" in browser.find_element(By.ID, "copy-Python").text
    assert "Answered" in browser.find_element(By.ID, "status").get_attribute("textContent")
    link = browser.current_url
    box = browser.find_element(By.ID, "hardware")
    other = change(browser, lambda: box.send_keys(Keys.CONTROL + "a" + Keys.NULL, "a100-sxm-80gb"))
    assert other != moved
    browser.get(link)
    assert wait(lambda: browser.execute_script(READY) and read_cards(browser), "cards") == moved


def test_by_keyboard_alone(browser: Browser, address: str) -> None:
    visit(browser, address, QUESTION)
    reached = []
    for _ in range(20):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        focused = browser.switch_to.active_element
        reached.append(focused.get_attribute("name") or focused.get_attribute("data-for") or focused.text)
    assert reached[: len(ASKS) + 1] == ["Skip to the answer", *map(str.capitalize, ASKS)]
    assert {"model", "hardware", "prompt_tokens", "batch_size"} <= set(reached)


def test_what_is_wrong_is_said_where_the_answer_was(browser: Browser, address: str) -> None:
    visit(browser, address, QUESTION)
    box = browser.find_element(By.ID, "model")
    box.send_keys(Keys.CONTROL + "a" + Keys.NULL, "llama-3.1-8bb")
    said = "return document.querySelector('#answer .error')?.textContent"
    wait(lambda: "did you mean 'llama-3.1-8b'" in str(browser.execute_script(said)), "what is wrong")
    box.send_keys(Keys.BACKSPACE)
    wait(lambda: browser.execute_script(READY) and read_cards(browser), "an answer again")


def test_a_simulation_shows_how_far_it_is_and_draws_load_against_latency(browser: Browser, address: str) -> None:
    visit(browser, address, "simulate?concurrency=4&num_requests=12")
    assert len(read_cards(browser)) == 4
    browser.find_element(By.ID, "draw-ladder").click()
    wait(lambda: browser.find_elements(By.CSS_SELECTOR, "#ladder svg .band"), "the picture of several loads")


def test_a_search_waits_for_its_button_and_answers_again(browser: Browser, address: str) -> None:
    visit(browser, address, VISITS["recommend"])
    before = read_cards(browser)
    box = browser.find_element(By.ID, "devices")
    box.send_keys(Keys.CONTROL + "a" + Keys.NULL, "h100-sxm-80gb")
    assert browser.find_element(By.ID, "status").get_attribute("textContent") == "Changed: press Ask"
    assert browser.execute_script("return !!document.querySelector('.stale')")
    assert change(browser, lambda: box.send_keys(Keys.ENTER))[0] != before[0]
    assert "devices=h100-sxm-80gb" in browser.current_url


def test_nothing_is_asked_of_anyone_else_and_the_console_is_silent(browser: Browser, address: str) -> None:
    browser.get_log("performance")
    browser.get_log("browser")
    for verb in ("predict", "compare"):
        visit(browser, address, verb)
    asked = [
        entry["message"]
        for entry in browser.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    ]
    assert asked
    assert all(f'"url":"{address}' in message for message in asked)
    assert browser.get_log("browser") == []
