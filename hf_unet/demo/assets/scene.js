// What the server sends of a scene: planes of pixels, as they are, and where on the image they lie.

const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };
const OVERVIEW_SIDE = 1024; // samples; a larger image is fetched thinned, and in full where one looks

async function fetchPlanes(scene, layers, window) {
  const text = await server.region({ scene: scene.scene, layers: layers.map((layer) => layer.key), ...window });
  const packed = await fetch("data:application/gzip;base64," + text);
  const bytes = await new Response(packed.body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  const rows = Math.ceil(window.height / window.step);
  const columns = Math.ceil(window.width / window.step);
  const planes = {};
  let at = 0;
  for (const layer of layers) {
    const array = ARRAYS[layer.dtype];
    const count = rows * columns;
    planes[layer.key] = [];
    for (let plane = 0; plane < layer.planes; plane++) {
      planes[layer.key].push(new array(bytes, at, count));
      at += Math.ceil((count * array.BYTES_PER_ELEMENT) / 4) * 4;
    }
  }
  return { ...window, rows, columns, planes };
}

// The rectangle of an image that holds every pixel in sight, on the grid of its step.
function windowInSight(scene, camera, box) {
  const step = Math.max(1, Math.floor(1 / camera.scale));
  const clamp = (value, high) => Math.min(Math.max(0, value), high);
  const left = clamp(Math.floor(camera.x / step) * step, scene.width - 1);
  const top = clamp(Math.floor(camera.y / step) * step, scene.height - 1);
  const right = clamp(Math.ceil(camera.x + box.width / camera.scale), scene.width);
  const bottom = clamp(Math.ceil(camera.y + box.height / camera.scale), scene.height);
  return { top, left, height: Math.max(1, bottom - top), width: Math.max(1, right - left), step };
}

function overviewWindow(scene) {
  const step = Math.ceil(Math.max(scene.width, scene.height) / OVERVIEW_SIDE);
  return { top: 0, left: 0, height: scene.height, width: scene.width, step };
}

const covers = (part, x, y) =>
  part && x >= part.left && y >= part.top && x < part.left + part.width && y < part.top + part.height;

// Index into a part's planes of the sample at a pixel of the image.
const sampleAt = (part, x, y) =>
  Math.floor((y - part.top) / part.step) * part.columns + Math.floor((x - part.left) / part.step);
