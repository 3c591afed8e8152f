// What is known of the pixel under the pointer, in words.

const amount = (value) =>
  Number.isInteger(value) ? String(value) : Math.abs(value) >= 100 ? value.toFixed(1) : value.toPrecision(3);

const distance = (value) => (Number.isFinite(value) ? amount(value) : "∞");

function describe(scene, part, x, y) {
  const n = sampleAt(part, x, y);
  const origin = scene.origin || { x: 0, y: 0 };
  const factor = scene.thinned || 1; // pixels of the image for one of the scene
  const words = [`x ${x * factor - origin.x}, y ${y * factor - origin.y}`];
  const values = {};
  for (const layer of scene.layers) {
    if (!(layer.key in part.planes)) continue;
    const found = part.planes[layer.key].map((plane) => plane[n]);
    values[layer.key] = found;
    if (layer.kind === "image") words.push(`intensity ${found.map(amount).join(", ")}`);
    if (layer.kind === "scalar") words.push(`${layer.label} ${distance(found[0])}${layer.unit ? " " + layer.unit : ""}`);
    if (layer.kind === "indices" && (found[0] >= layer.first || layer.first === 0))
      words.push(`${layer.label}: ${layer.names[found[0]] ?? found[0]}`);
    if (layer.kind === "bits") {
      const names = layer.names.filter((_, k) => found[0] & (1 << k));
      words.push(`${layer.label}: ${names.join(" + ") || "none"}`);
    }
    if (layer.kind === "objects" && found[0]) words.push(`${layer.label} ${found[0]}`);
    if (layer.kind === "probability")
      words.push("p " + layer.names.map((name, k) => `${name} ${(found[k] / 255).toFixed(2)}`).join(", "));
  }
  if (scene.formula) words.push(fillFormula(scene.formula, values));
  return words.join(" · ");
}

// "{w}" in a formula stands for the value of the layer w at the pixel.
function fillFormula(formula, values) {
  return formula.replace(/\{(\w+)\}/g, (_, key) => (key in values ? distance(values[key][0]) : key));
}
