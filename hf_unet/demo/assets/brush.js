// A brush that keys move over the image, and that paints while it is down.

const BRUSH_SIZES = { least: 0.5, most: 40, step: 0.5 };
const BRUSH_MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const FAR = 10; // pixels that Shift makes of one

class Brush {
  constructor(painting, at) {
    this.painting = painting;
    this.x = this.y = 0;
    this.down = false;
    this.move(at.x, at.y);
  }

  // Put it down, or lift it. What it paints until it is lifted is one stroke, undone as one.
  press(look) {
    this.down = !this.down;
    if (!this.down) return;
    this.painting.remember();
    this.painting.dab(this.x, this.y, look.brush, look.paintClass, look.erase);
  }

  move(dx, dy, look) {
    const { width, height } = this.painting.scene;
    const from = { x: this.x, y: this.y };
    this.x = Math.min(Math.max(0, this.x + dx), width - 1);
    this.y = Math.min(Math.max(0, this.y + dy), height - 1);
    if (this.down) this.painting.stroke(from, this, look.brush, look.paintClass, look.erase);
  }

  says(look) {
    const does = look.erase ? "erases" : `paints ${this.painting.layer.names[look.paintClass]}`;
    return `Brush ${this.down ? "down" : "up"} at x ${this.x}, y ${this.y}: ${does}, radius ${amount(look.brush)} pixels.`;
  }

  // Two rings, one of which is seen on any ground; dashed while it is up.
  draw(context, scale, radius) {
    context.setLineDash(this.down ? [] : [6 / scale, 4 / scale]);
    for (const [color, width] of [["#000000", 4], ["#ffffff", 1.5]]) {
      context.strokeStyle = color;
      context.lineWidth = width / scale;
      context.beginPath();
      context.arc(this.x + 0.5, this.y + 0.5, Math.max(radius, 5 / scale), 0, 2 * Math.PI);
      context.stroke();
    }
    context.setLineDash([]);
  }
}
