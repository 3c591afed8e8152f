// The viewer: canvases that look at one place, what they show, and the controls around them.

const root = element.querySelector(".viewer");
const part = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
};

const bar = part("div", "bar");
const stage = part("div", "stage");
const readout = part("div", "readout");
const empty = part("div", "empty", root.dataset.empty);
const legend = part("div", "legend");
readout.setAttribute("role", "status");
root.append(bar, legend, stage, readout);
stage.append(empty);

let scene = null;
let camera = null;
let panes = []; // {canvas, layers, pictures}
let overview = null;
let detail = null;
let painting = null;
let brush = null; // that keys move
let request = 0;
const cache = new Map(); // planes of the overview by the identity of their data
const look = { window: [0, 255], opacity: 0.35, outlines: true, hidden: new Set(), split: 0, brush: 6, paintClass: 1, erase: false };

const boxOf = (pane) => ({ width: pane.canvas.clientWidth || 1, height: pane.canvas.clientHeight || 1 });
const paintLayer = () => scene && scene.layers.find((layer) => layer.key === scene.paint);

// --- what is shown ------------------------------------------------------------------------------

async function show(next) {
  const mine = ++request;
  if (!next || !next.scene) {
    scene = camera = overview = detail = painting = brush = null;
    panes = [];
    stage.replaceChildren(empty);
    bar.replaceChildren();
    legend.replaceChildren();
    readout.textContent = "";
    root.dataset.shown = root.dataset.told = "";
    return;
  }
  const window = overviewWindow(next);
  const missing = next.layers.filter((layer) => !cache.has(layer.id));
  const drawn = missing.filter((layer) => DRAW[layer.kind]);
  let fetched;
  try {
    fetched = drawn.length ? await fetchPlanes(next, drawn, window) : null;
  } catch (error) {
    if (mine !== request) return;
    show(null); // what is there is no longer what the page speaks of
    readout.textContent = "The picture could not be fetched. Segment the image again.";
    return;
  }
  if (mine !== request) return; // a newer one has come meanwhile
  const planes = {};
  const fresh = new Map();
  for (const layer of next.layers) {
    const found = cache.get(layer.id) || fetched?.planes[layer.key];
    if (!found) continue;
    planes[layer.key] = found;
    fresh.set(layer.id, found);
  }
  cache.clear();
  fresh.forEach((value, key) => cache.set(key, value));
  const before = scene;
  scene = next;
  overview = { ...window, rows: Math.ceil(window.height / window.step), columns: Math.ceil(window.width / window.step), planes };
  detail = null;
  const image = scene.layers.find((layer) => layer.kind === "image");
  const sameImage = before && before.image === scene.image;
  if (image && !sameImage) look.window = [...image.window];
  if (!sameImage) painting = brush = null;
  if (!before || before.look !== scene.look) look.hidden = new Set(scene.hidden || []);
  buildPanes();
  buildBar();
  buildLegend();
  if (!sameImage || !camera || before.width !== scene.width || before.height !== scene.height)
    camera = fitCamera(scene, boxOf(panes[0]));
  recompose();
  root.dataset.shown = scene.scene;
  fetchUndrawn(missing.filter((layer) => !DRAW[layer.kind]));
}

// What is told under the pointer only comes after the picture, which need not wait for it.
async function fetchUndrawn(layers) {
  const of = scene;
  const { planes, top, left, height, width, step } = overview;
  try {
    const fetched = layers.length ? await fetchPlanes(of, layers, { top, left, height, width, step }) : null;
    if (of !== scene) return;
    for (const layer of layers) {
      planes[layer.key] = fetched.planes[layer.key];
      cache.set(layer.id, planes[layer.key]);
    }
    root.dataset.told = of.scene;
    if (pointed) tell(pointed);
  } catch (error) {
    if (of === scene) readout.textContent = "Probabilities could not be fetched. Segment the image again.";
  }
}

function buildPanes() {
  const wanted = scene.panes || [scene.layers.map((layer) => layer.key)];
  if (panes.length === wanted.length) {
    panes.forEach((pane, n) => (pane.keys = wanted[n]));
    return;
  }
  stage.replaceChildren();
  panes = wanted.map((keys) => {
    const figure = part("figure", "pane");
    const canvas = part("canvas");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application"); // so that screen readers leave it its keys
    const caption = part("figcaption");
    figure.append(canvas, caption);
    stage.append(figure);
    const pane = { canvas, caption, keys, below: {}, above: {} };
    listen(pane);
    sizes.observe(canvas);
    return pane;
  });
  stage.dataset.panes = panes.length;
}

const layersOf = (pane) => scene.layers.filter((layer) => pane.keys.includes(layer.key));

function recompose() {
  for (const pane of panes) {
    const layers = layersOf(pane);
    const names = layers.map((layer) => layer.label).join(", ");
    pane.canvas.setAttribute("aria-label", `${names}. ${keyHelp()}`);
    pane.caption.textContent = panes.length > 1 ? captionOf(layers) : "";
    for (const [name, piece] of [["overview", overview], ["detail", detail]]) {
      pane.above[name] = piece && compose(piece, layers, look, true);
      pane.below[name] = piece && look.split > 0 ? compose(piece, layers, look, false) : null;
    }
  }
  paint();
}

function captionOf(layers) {
  const scalar = layers.find((layer) => layer.kind === "scalar");
  if (!scalar) return layers.map((layer) => layer.label).join(", ");
  const [low, high] = scalar.range;
  return `${scalar.title || scalar.label}: black ${amount(low)}, yellow ${amount(high)}${scalar.unit ? " " + scalar.unit : ""}`;
}

let waiting = false;
function paint() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    if (scene) panes.forEach(paintPane);
  });
}

function paintPane(pane) {
  const { canvas } = pane;
  const density = globalThis.devicePixelRatio || 1;
  const box = boxOf(pane);
  const [width, height] = [Math.round(box.width * density), Math.round(box.height * density)];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  context.setTransform(density * camera.scale, 0, 0, density * camera.scale, -camera.x * camera.scale * density, -camera.y * camera.scale * density);
  const draw = (picture, piece) => {
    if (!picture || !piece) return;
    context.imageSmoothingEnabled = camera.scale * piece.step < 1; // never between pixels that can be seen
    context.drawImage(picture, piece.left, piece.top, piece.columns * piece.step, piece.rows * piece.step);
  };
  draw(pane.above.overview, overview);
  draw(pane.above.detail, detail);
  if (painting) {
    context.imageSmoothingEnabled = camera.scale < 1;
    context.drawImage(painting.canvas, 0, 0);
    if (brush) brush.draw(context, camera.scale, look.brush);
  }
  if (look.split > 0) {
    const until = camera.x + (look.split * box.width) / camera.scale;
    context.save();
    context.beginPath();
    context.rect(camera.x, camera.y, until - camera.x, box.height / camera.scale);
    context.clip();
    draw(pane.below.overview, overview);
    draw(pane.below.detail, detail);
    context.restore();
    context.fillStyle = "#ffffff";
    context.fillRect(until, camera.y, 2 / camera.scale, box.height / camera.scale);
  }
  for (const mark of scene.boxes || []) {
    context.strokeStyle = mark.color;
    context.lineWidth = (mark.width || 1.5) / camera.scale;
    context.strokeRect(mark.left, mark.top, mark.right - mark.left, mark.bottom - mark.top);
  }
  for (const mark of scene.points || []) drawPoint(context, mark);
}

function drawPoint(context, mark) {
  const radius = 7 / camera.scale;
  context.lineWidth = 2 / camera.scale;
  context.strokeStyle = mark.color;
  context.beginPath();
  const [x, y] = [mark.x + 0.5, mark.y + 0.5];
  if (mark.shape === "cross") {
    context.moveTo(x - radius, y - radius);
    context.lineTo(x + radius, y + radius);
    context.moveTo(x + radius, y - radius);
    context.lineTo(x - radius, y + radius);
  } else if (mark.shape === "square") context.rect(x - radius, y - radius, 2 * radius, 2 * radius);
  else context.arc(x, y, radius, 0, 2 * Math.PI);
  context.stroke();
}

// --- looking closer -----------------------------------------------------------------------------

let later = 0;
let closer = 0;
function moved() {
  paint();
  clearTimeout(later);
  later = setTimeout(fetchDetail, 120);
}

async function fetchDetail() {
  if (!scene || overview.step === 1 || camera.scale * overview.step <= 1) return;
  const window = windowInSight(scene, camera, boxOf(panes[0]));
  if (window.step >= overview.step) return;
  if (detail && JSON.stringify(window) === detail.asked) return;
  const mine = ++closer, of = scene;
  try {
    const piece = await fetchPlanes(scene, scene.layers, window);
    if (mine !== closer || of !== scene) return; // one asked for later may have come before it
    detail = { ...piece, asked: JSON.stringify(window) };
    recompose();
  } catch (error) {
    if (mine === closer && of === scene)
      readout.textContent = "The closer view could not be fetched. Segment the image again.";
  }
}

const sizes = new ResizeObserver(() => {
  if (!scene || !panes.length) return;
  const box = boxOf(panes[0]);
  if (box.width < 2) return;
  const fitted = fitCamera(scene, box);
  if (!camera || !camera.scale || camera.scale < fitted.scale * 0.6 || root.dataset.fitted !== scene.image) {
    camera = fitted;
    root.dataset.fitted = scene.image;
  }
  moved();
});

show(props.value);
watch("value", () => show(props.value));
