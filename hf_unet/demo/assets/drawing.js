// Planes of pixels to a picture: the image under its intensity window, and what is drawn over it.

const hex = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));

// A colour for each number, far from that of the next: steps of the golden angle around the hues.
const OBJECT_COLORS = Array.from({ length: 512 }, (_, n) => {
  const hue = (n * 137.508) % 360;
  const light = [0.62, 0.5, 0.72][n % 3];
  const amplitude = 0.75 * Math.min(light, 1 - light);
  return [0, 8, 4].map((k) => {
    const at = (k + hue / 30) % 12;
    return Math.round(255 * (light - amplitude * Math.max(-1, Math.min(at - 3, 9 - at, 1))));
  });
});

// Nodes of the colour map "inferno" of matplotlib (CC0), from black to yellow.
const HEAT = ["#000004", "#1b0c41", "#4a0c6b", "#781c6d", "#a52c60", "#cf4446", "#ed6925", "#fb9b06", "#f7d13d", "#fcffa4"].map(hex);
const HEAT_TABLE = Array.from({ length: 256 }, (_, n) => {
  const at = (n / 255) * (HEAT.length - 1);
  const low = Math.min(HEAT.length - 2, Math.floor(at));
  return [0, 1, 2].map((c) => Math.round(HEAT[low][c] + (at - low) * (HEAT[low + 1][c] - HEAT[low][c])));
});

function drawImage(pixels, part, layer, look) {
  const planes = part.planes[layer.key];
  const [low, high] = look.window;
  const scale = high > low ? 255 / (high - low) : 0;
  const order = planes.length === 1 ? [0, 0, 0] : planes.length === 2 ? [1, 0, 1] : [0, 1, 2];
  for (let channel = 0; channel < 3; channel++) {
    const plane = planes[order[channel]];
    // A clamped array rounds and clips by itself.
    for (let n = 0, at = channel; n < plane.length; n++, at += 4) pixels[at] = (plane[n] - low) * scale;
  }
  for (let at = 3; at < pixels.length; at += 4) pixels[at] = 255;
}

function drawHeat(pixels, part, layer) {
  const [plane] = part.planes[layer.key];
  const [low, high] = layer.range;
  const scale = high > low ? 255 / (high - low) : 0;
  for (let n = 0, at = 0; n < plane.length; n++, at += 4) {
    const value = plane[n];
    const shade = Number.isFinite(value) ? Math.max(0, Math.min(255, Math.round((value - low) * scale))) : 255;
    const color = HEAT_TABLE[shade];
    pixels[at] = color[0];
    pixels[at + 1] = color[1];
    pixels[at + 2] = color[2];
    pixels[at + 3] = 255;
  }
}

// Whether a sample lies at the edge of what it belongs to: a 4-neighbour has another value.
function isEdge(plane, n, column, columns, count) {
  const value = plane[n];
  return (
    (column > 0 && plane[n - 1] !== value) ||
    (column < columns - 1 && plane[n + 1] !== value) ||
    (n >= columns && plane[n - columns] !== value) ||
    (n + columns < count && plane[n + columns] !== value)
  );
}

function blend(pixels, at, color, opacity) {
  pixels[at] += (color[0] - pixels[at]) * opacity;
  pixels[at + 1] += (color[1] - pixels[at + 1]) * opacity;
  pixels[at + 2] += (color[2] - pixels[at + 2]) * opacity;
}

// Classes that exclude each other are stored as an index, those that overlap as a bit each. The
// latter are drawn from the first to the last, so that each shows through those above it.
function drawClasses(pixels, part, layer, look) {
  const [plane] = part.planes[layer.key];
  const colors = layer.colors.map(hex);
  const shown = layer.names.map((_, k) => k >= layer.first && !look.hidden.has(layer.key + k));
  // Where objects are known their outlines are drawn, also between two that touch.
  const parts = (layer.outlines && part.planes[layer.outlines]?.[0]) || plane;
  const { columns } = part;
  for (let n = 0, at = 0, column = 0; n < plane.length; n++, at += 4) {
    const value = plane[n];
    if (value || layer.first === 0) {
      const edge =
        look.outlines &&
        (isEdge(parts, n, column, columns, plane.length) || isEdge(plane, n, column, columns, plane.length));
      const opacity = edge ? 1 : look.opacity;
      if (layer.kind === "bits") {
        for (let k = 0; k < colors.length; k++) if (shown[k] && value & (1 << k)) blend(pixels, at, colors[k], opacity);
      } else if (shown[value]) blend(pixels, at, colors[value], opacity);
    }
    if (++column === columns) column = 0;
  }
}

function drawObjects(pixels, part, layer, look) {
  const [plane] = part.planes[layer.key];
  const { columns } = part;
  for (let n = 0, at = 0, column = 0; n < plane.length; n++, at += 4) {
    const value = plane[n];
    if (value) {
      const opacity = look.outlines && isEdge(plane, n, column, columns, plane.length) ? 1 : look.opacity;
      blend(pixels, at, OBJECT_COLORS[value % 512], opacity);
    }
    if (++column === columns) column = 0;
  }
}

const DRAW = { image: drawImage, scalar: drawHeat, indices: drawClasses, bits: drawClasses, objects: drawObjects };
const IS_GROUND = { image: true, scalar: true };

// A canvas of one sample to a pixel. `over` false leaves out all that is drawn over the image.
function compose(part, layers, look, over) {
  const canvas = document.createElement("canvas");
  canvas.width = part.columns;
  canvas.height = part.rows;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(part.columns, part.rows);
  for (const layer of layers) {
    if (!(layer.key in part.planes) || !DRAW[layer.kind]) continue;
    if (!IS_GROUND[layer.kind] && (!over || look.hidden.has(layer.key))) continue;
    DRAW[layer.kind](picture.data, part, layer, look);
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}
