// @ts-check
// Cutting a face out of the photo as the generators are fed with it (faces/nigaoe_faces/align.py), so that photo and drawing lie on
// each other in the comparison. The photo itself never comes back from the server: the cut is made from the user's
// file.

/**
 * Where the five landmarks stand in a style's pictures.
 *
 * @typedef {object} Alignment
 * @property {[number, number][]} landmarks In the unit square, before zoom and shift.
 * @property {number} zoom About the middle.
 * @property {number} shift_y Downwards, in heights of the picture.
 */

/** FFHQ's own framing: near enough for a thumbnail, whatever the style's. @type {Alignment} */
export const PORTRAIT = {
  landmarks: [
    [0.3769, 0.4686],
    [0.623, 0.4691],
    [0.5012, 0.6133],
    [0.3931, 0.7254],
    [0.6115, 0.7249],
  ],
  zoom: 1,
  shift_y: 0,
};

/**
 * The similarity transform that brings points nearest to the template in the sense of least squares (Umeyama 1991). In
 * the plane it has a closed form: with points as complex numbers about their means, z -> a z + b with
 * a = sum(conj(p) q) / sum(|p|^2).
 *
 * @param {[number, number][]} landmarks In photo pixels.
 * @param {Alignment} alignment
 * @returns {{cos: number, sin: number, x: number, y: number}} Photo pixels to the unit square; cos, sin hold the scale.
 */
export function fitToTemplate(landmarks, { landmarks: template, zoom, shift_y }) {
  const targets = template.map(([x, y]) => [(x - 0.5) * zoom + 0.5, (y - 0.5) * zoom + 0.5 + shift_y]);
  const [px, py] = mean(landmarks);
  const [qx, qy] = mean(targets);
  let real = 0;
  let imaginary = 0;
  let power = 0;
  landmarks.forEach(([x, y], index) => {
    const [dx, dy] = [x - px, y - py];
    const [tx, ty] = [targets[index][0] - qx, targets[index][1] - qy];
    real += dx * tx + dy * ty;
    imaginary += dx * ty - dy * tx;
    power += dx * dx + dy * dy;
  });
  const [cos, sin] = [real / power, imaginary / power];
  return { cos, sin, x: qx - (cos * px - sin * py), y: qy - (sin * px + cos * py) };
}

/**
 * @param {number[][]} points
 * @returns {[number, number]}
 */
function mean(points) {
  const sum = points.reduce(([sx, sy], [x, y]) => [sx + x, sy + y], [0, 0]);
  return [sum[0] / points.length, sum[1] / points.length];
}

/**
 * Draw the aligned face over the whole of a square canvas.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {ImageBitmap} photo
 * @param {import("./types.js").Face} face In pixels of the photo as it was sent, which are those of the bitmap.
 * @param {Alignment} alignment
 */
export function drawAligned(canvas, photo, face, alignment) {
  const brush = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const { cos, sin, x, y } = fitToTemplate(face.landmarks, alignment);
  const side = canvas.width;
  brush.setTransform(1, 0, 0, 1, 0, 0);
  brush.fillStyle = "#d9cbb0";
  brush.fillRect(0, 0, side, side);
  brush.imageSmoothingQuality = "high";
  brush.setTransform(cos * side, sin * side, -sin * side, cos * side, x * side, y * side);
  brush.drawImage(photo, 0, 0);
  brush.setTransform(1, 0, 0, 1, 0, 0);
}
