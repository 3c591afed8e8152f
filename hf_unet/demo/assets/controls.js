// The controls around the canvases, and the pointer and keys on them.

function button(text, label, action) {
  const made = part("button", "tool", text);
  made.type = "button";
  made.title = label;
  made.setAttribute("aria-label", label);
  made.addEventListener("click", action);
  return made;
}

function slider(label, low, high, step, value, action) {
  const wrapped = part("label", "slider");
  const input = part("input");
  Object.assign(input, { type: "range", min: low, max: high, step, value });
  input.setAttribute("aria-label", label);
  input.addEventListener("input", () => action(Number(input.value), input));
  wrapped.append(part("span", "", label), input);
  return wrapped;
}

function group(...members) {
  const made = part("span", "group");
  made.append(...members);
  return made;
}

const middle = () => {
  const box = boxOf(panes[0]);
  return { x: box.width / 2, y: box.height / 2 };
};
const zoomBy = (factor, at = middle()) => {
  camera = zoomCamera(camera, scene, boxOf(panes[0]), factor, at);
  moved();
};
const fit = () => {
  camera = fitCamera(scene, boxOf(panes[0]));
  moved();
};

function buildBar() {
  const image = scene.layers.find((layer) => layer.kind === "image");
  const overlaid = scene.layers.some((layer) => ["indices", "bits", "objects"].includes(layer.kind));
  bar.replaceChildren(
    group(
      button("−", "Zoom out", () => zoomBy(1 / 1.5)),
      button("+", "Zoom in", () => zoomBy(1.5)),
      button("Fit", "Fit the image into the view", fit),
      button("1:1", "One image pixel to a screen pixel", () => zoomBy(1 / camera.scale)),
    ),
  );
  if (image) bar.append(windowTools(image));
  if (overlaid) {
    const outlines = part("input");
    Object.assign(outlines, { type: "checkbox", checked: look.outlines });
    outlines.addEventListener("change", () => {
      look.outlines = outlines.checked;
      recompose();
    });
    const label = part("label", "check");
    label.append(outlines, part("span", "", "Outlines"));
    bar.append(
      group(
        slider("Opacity", 0, 1, 0.05, look.opacity, (value) => ((look.opacity = value), recompose())),
        label,
        slider("Before / after", 0, 1, 0.01, look.split, (value) => {
          const needed = value > 0 !== look.split > 0;
          look.split = value;
          if (needed) recompose();
          else paint();
        }),
      ),
    );
  }
  if (scene.paint) bar.append(paintTools());
}

// Which intensities are shown as black and as white; what the network and the files get never changes.
function windowTools(image) {
  const [low, high] = image.limits;
  const step = image.dtype === "float32" ? (high - low) / 1000 || 1 : 1;
  const says = part("output", "numbers");
  const tell = () => (says.textContent = `${amount(look.window[0])} – ${amount(look.window[1])}`);
  const change = (end) => (value) => {
    look.window[end] = value;
    tell();
    recompose();
  };
  const black = slider("Black", low, high, step, look.window[0], change(0));
  const white = slider("White", low, high, step, look.window[1], change(1));
  const set = (window) => {
    look.window = [...window];
    black.querySelector("input").value = window[0];
    white.querySelector("input").value = window[1];
    tell();
    recompose();
  };
  tell();
  return group(
    black,
    white,
    says,
    button("Auto", "From the 0.5th to the 99.8th percentile", () => set(image.percentiles)),
    button("Full", "From the lowest to the highest value of the image", () => set(image.limits)),
  );
}

function paintTools() {
  const layer = paintLayer();
  const tools = part("span", "group paint");
  if (scene.width * scene.height > MOST_PAINTED_PIXELS) {
    tools.textContent = "This image is too large to be painted in the page.";
    return tools;
  }
  if (!painting) {
    tools.append(button("Paint a mask", "Paint or correct a mask by hand", () => startPainting(true)));
    return tools;
  }
  const classes = part("select");
  classes.setAttribute("aria-label", "Class to paint");
  layer.names.forEach((name, k) => {
    if (k < layer.first) return;
    const option = part("option", "", name);
    option.value = k;
    classes.append(option);
  });
  if (look.paintClass < layer.first || look.paintClass >= layer.names.length) look.paintClass = layer.first;
  classes.value = look.paintClass;
  classes.addEventListener("change", () => (look.paintClass = Number(classes.value)));
  const erase = button("Erase", "Erase instead of painting", () => {
    look.erase = !look.erase;
    erase.setAttribute("aria-pressed", look.erase);
  });
  erase.setAttribute("aria-pressed", look.erase);
  tools.append(
    classes,
    slider("Brush", 0.5, 40, 0.5, look.brush, (value) => (look.brush = value)),
    erase,
    button("Undo", "Undo the last stroke", () => (painting.undo(), paint())),
    button("From prediction", "Start from what was predicted", () => startPainting(true)),
    button("Empty", "Start from nothing", () => startPainting(false)),
    button("Score", "Compute Dice of the prediction against the painted mask", () =>
      trigger("painted", { scene: scene.scene, runs: painting.runs() }),
    ),
    button("Close", "Put the painted mask away", () => {
      painting = null;
      look.hidden = new Set(scene.hidden || []);
      buildBar();
      buildLegend();
      recompose();
    }),
  );
  return tools;
}

async function startPainting(fromPrediction) {
  const layer = paintLayer();
  const { image, width, height } = scene;
  let values = null;
  if (fromPrediction) {
    try {
      const whole = { top: 0, left: 0, height, width, step: 1 };
      values = (await fetchPlanes(scene, [layer], whole)).planes[layer.key][0];
    } catch (error) {
      readout.textContent = "The mask could not be fetched. Segment the image again.";
      return;
    }
  }
  if (!scene || scene.image !== image) return; // a newer one has come meanwhile
  painting ||= new Painting(scene, layer);
  painting.start(values);
  for (const one of scene.layers) if (["indices", "bits", "objects"].includes(one.kind)) look.hidden.add(one.key);
  buildBar();
  buildLegend();
  recompose();
}

// A chip for each layer, and for each class of it, that can be switched off.
function buildLegend() {
  legend.replaceChildren();
  for (const layer of scene.layers) {
    if (layer.kind === "objects") legend.append(chip(layer.label_many || layer.label, null, layer.key));
    if (layer.kind !== "indices" && layer.kind !== "bits") continue;
    const row = part("span", "group");
    row.setAttribute("role", "group"); // two layers have classes of the same names
    row.setAttribute("aria-label", layer.label);
    row.append(chip(layer.label, null, layer.key));
    layer.names.forEach((name, k) => {
      if (k >= layer.first) row.append(chip(name, layer.colors[k], layer.key + k));
    });
    legend.append(row);
  }
  for (const note of scene.legend || []) {
    const made = part("span", "note");
    if (note.color) made.append(swatch(note.color));
    made.append(part("span", "", note.label));
    legend.append(made);
  }
}

function swatch(color) {
  const made = part("i", "swatch");
  made.style.background = color;
  return made;
}

function chip(text, color, key) {
  const made = part("button", color ? "chip" : "chip layer");
  made.type = "button";
  if (color) made.append(swatch(color));
  made.append(part("span", "", text));
  const tell = () => made.setAttribute("aria-pressed", !look.hidden.has(key));
  made.addEventListener("click", () => {
    if (!look.hidden.delete(key)) look.hidden.add(key);
    tell();
    recompose();
  });
  tell();
  return made;
}

const KEYS = {
  ArrowLeft: [40, 0],
  ArrowRight: [-40, 0],
  ArrowUp: [0, 40],
  ArrowDown: [0, -40],
};

function listen(pane) {
  const { canvas } = pane;
  const fingers = new Map();
  let from = null;
  const pointOf = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), pointOf(event));
    },
    { passive: false },
  );
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, pointOf(event));
    from = { point: pointOf(event), travelled: 0 };
    if (painting && fingers.size === 1 && event.button === 0) {
      painting.remember();
      const at = pixelUnder(camera, from.point);
      painting.dab(at.x, at.y, look.brush, look.paintClass, look.erase);
      from.painted = at;
      paint();
    }
  });
  canvas.addEventListener("pointermove", (event) => {
    const point = pointOf(event);
    tell(point);
    const last = fingers.get(event.pointerId);
    if (!last) return;
    const [dx, dy] = [point.x - last.x, point.y - last.y];
    if (from) from.travelled += Math.abs(dx) + Math.abs(dy);
    if (fingers.size === 2) pinch(event, point);
    else if (from && from.painted) {
      const to = pixelUnder(camera, point);
      painting.stroke(from.painted, to, look.brush, look.paintClass, look.erase);
      from.painted = to;
      paint();
    } else {
      camera = panCamera(camera, scene, boxOf(pane), dx, dy);
      moved();
    }
    fingers.set(event.pointerId, point);
  });
  const pinch = (event, point) => {
    const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
    const last = fingers.get(event.pointerId);
    const spread = (a) => Math.hypot(a.x - other.x, a.y - other.y) || 1;
    zoomBy(spread(point) / spread(last), { x: (point.x + other.x) / 2, y: (point.y + other.y) / 2 });
  };
  canvas.addEventListener("pointerup", (event) => {
    const clicked = from && from.travelled < 4 && !from.painted;
    fingers.delete(event.pointerId);
    from = null;
    if (clicked) pick(pointOf(event));
  });
  canvas.addEventListener("pointercancel", (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("pointerleave", () => {
    pointed = null;
    readout.textContent = "";
  });
  canvas.addEventListener("dblclick", (event) => {
    if (!painting) zoomBy(2, pointOf(event)); // there it is two dabs
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key in KEYS) camera = panCamera(camera, scene, boxOf(pane), ...KEYS[event.key]);
    else if (event.key === "+" || event.key === "=") camera = zoomCamera(camera, scene, boxOf(pane), 1.5, middle());
    else if (event.key === "-") camera = zoomCamera(camera, scene, boxOf(pane), 1 / 1.5, middle());
    else if (event.key === "0") camera = fitCamera(scene, boxOf(pane));
    else if (event.key === "Enter" && scene.clicks) pick(middle());
    else return;
    event.preventDefault();
    moved();
    tell(middle());
  });
}

// The pixel at a point of the canvas was chosen.
function pick(point) {
  const at = pixelUnder(camera, point);
  if (scene.clicks && covers(overview, at.x, at.y)) trigger("pixel", { scene: scene.scene, ...at });
}

let pointed = null; // the point that is told of
function tell(point) {
  pointed = point;
  const { x, y } = pixelUnder(camera, point);
  const piece = covers(detail, x, y) ? detail : covers(overview, x, y) ? overview : null;
  readout.textContent = piece ? describe(scene, piece, x, y) : "";
}
