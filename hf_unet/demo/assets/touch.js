// The pointer and the keys on a canvas.

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
      brush = null;
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
  canvas.addEventListener("blur", () => {
    if (brush) brush.down = false;
    paint();
  });
  canvas.addEventListener("keydown", (event) => {
    if (painting && paintByKey(event)) {
      event.preventDefault();
      camera = followCamera(camera, boxOf(pane), brush);
      moved();
      pointed = null;
      readout.textContent = brush.says(look);
      return;
    }
    if (event.key in KEYS) camera = panCamera(camera, scene, boxOf(pane), ...KEYS[event.key]);
    else if (event.key === "+" || event.key === "=") camera = zoomCamera(camera, scene, boxOf(pane), 1.5, looksAt());
    else if (event.key === "-") camera = zoomCamera(camera, scene, boxOf(pane), 1 / 1.5, looksAt());
    else if (event.key === "0") camera = fitCamera(scene, boxOf(pane));
    else if (event.key === "Enter" && scene.clicks) pick(middle());
    else return;
    event.preventDefault();
    moved();
    tell(middle());
  });
}

// The point of the canvas about which keys zoom.
const looksAt = () =>
  brush ? { x: (brush.x + 0.5 - camera.x) * camera.scale, y: (brush.y + 0.5 - camera.y) * camera.scale } : middle();

// Whether a key was one of the brush, which then has done as it says.
function paintByKey(event) {
  const { key } = event;
  const undoes = key === "z" && (event.ctrlKey || event.metaKey);
  const resizes = { "[": -1, "]": 1 }[key];
  if (!(key in BRUSH_MOVES) && !resizes && !undoes && key !== " " && key !== "Enter") return false;
  brush ||= new Brush(painting, pixelUnder(camera, middle()));
  if (key in BRUSH_MOVES) {
    const far = event.shiftKey ? FAR : 1;
    brush.move(BRUSH_MOVES[key][0] * far, BRUSH_MOVES[key][1] * far, look);
  } else if (resizes) {
    look.brush = Math.min(Math.max(BRUSH_SIZES.least, look.brush + resizes), BRUSH_SIZES.most);
    bar.querySelector("[aria-label=Brush]").value = look.brush;
  } else if (undoes) painting.undo();
  else brush.press(look);
  return true;
}

function keyHelp() {
  if (painting)
    return (
      "Arrow keys move the brush, with Shift ten pixels at a time; Space or Enter puts it down and lifts it; " +
      "[ and ] change its size; Control and Z undo; plus and minus zoom, 0 fits."
    );
  const picks = scene.clicks ? " Enter picks the pixel in the middle." : "";
  return `Arrow keys move, plus and minus zoom, 0 fits.${picks}`;
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
