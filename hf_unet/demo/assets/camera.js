// Where one looks: image pixel (x, y) at the canvas's upper left corner, screen pixels to an image pixel.

const LARGEST_SCALE = 64;

function fitCamera(scene, box) {
  const scale = Math.min(box.width / scene.width, box.height / scene.height);
  return {
    scale,
    x: (scene.width - box.width / scale) / 2,
    y: (scene.height - box.height / scale) / 2,
  };
}

// Zoom about a point of the canvas, which stays where it is.
function zoomCamera(camera, scene, box, factor, at) {
  const fitted = fitCamera(scene, box).scale; // of an image of a few pixels beyond the largest
  const smallest = Math.min(fitted, 1) / 2;
  const scale = Math.min(Math.max(LARGEST_SCALE, fitted), Math.max(smallest, camera.scale * factor));
  return {
    scale,
    x: camera.x + at.x / camera.scale - at.x / scale,
    y: camera.y + at.y / camera.scale - at.y / scale,
  };
}

// The image's middle never leaves the canvas, so that it cannot be lost from sight.
function panCamera(camera, scene, box, dx, dy) {
  const keep = (value, length, side) => Math.min(Math.max(value, -side / camera.scale + length * 0.1), length * 0.9);
  return {
    ...camera,
    x: keep(camera.x - dx / camera.scale, scene.width, box.width),
    y: keep(camera.y - dy / camera.scale, scene.height, box.height),
  };
}

// As little farther as brings a pixel into sight, and something around it.
function followCamera(camera, box, at) {
  const follow = (start, side, value) => {
    const around = Math.min(24, side / 4) / camera.scale;
    return Math.min(Math.max(start, value + 1 + around - side / camera.scale), value - around);
  };
  return { ...camera, x: follow(camera.x, box.width, at.x), y: follow(camera.y, box.height, at.y) };
}

const pixelUnder = (camera, point) => ({
  x: Math.floor(camera.x + point.x / camera.scale),
  y: Math.floor(camera.y + point.y / camera.scale),
});
