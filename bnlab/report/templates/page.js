"use strict";

// Formulas. Where one cannot be set, its TeX stays to be read.
for (const element of document.querySelectorAll(".tex")) {
  const source = element.textContent;
  try {
    katex.render(source, element, {displayMode: "display" in element.dataset, throwOnError: true, strict: "ignore", output: "htmlAndMathml"});
  } catch (error) {
    element.textContent = source;
    console.error(error);
  }
}

// What is wider than the page can be scrolled by keyboard too.
for (const [name, words] of [[".tex[data-display]", "A wide formula"], [".drawing", "A wide figure"]]) {
  for (const element of document.querySelectorAll(name)) {
    if (element.scrollWidth > element.clientWidth) {
      element.tabIndex = 0;
      element.setAttribute("role", "region");
      element.setAttribute("aria-label", words);
    }
  }
}

// Copy buttons.
for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const text = button.parentElement.querySelector("code").textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

// The slider through the iterations.
const range = document.getElementById("iteration");
if (range) {
  const frames = JSON.parse(document.getElementById("frame-data").textContent);
  const rule = document.getElementById("frame-rule");
  const reading = document.getElementById("reading");
  const points = document.querySelectorAll("#slider-points use");
  const show = () => {
    const frame = Number(range.value);
    const words = `after iteration ${frames.iterations[frame]}, ln p(X | η) = ${frames.logLikelihood[frame].toFixed(3).replace("-", "\u2212")}`;
    rule.textContent = `[id^="slider-frame-"]{display:none}[id^="slider-frame-${frame}-"]{display:inline}`;
    reading.textContent = words;
    range.setAttribute("aria-valuetext", words);
    points.forEach((point, place) => { point.style.fill = frames.colours[frame][place]; });
  };
  range.addEventListener("input", show);
  show();
}
