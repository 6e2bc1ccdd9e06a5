// @ts-check
// Making a chosen file ready to travel: a large photo is reduced here, which spares the phone's upload and leaves its
// metadata (place, time, device) at home.

/**
 * Faces are looked for in 1024 pixels, and in 1600 where none was found (faces/nigaoe_faces/detect.py); beyond that only the cut of a
 * small face gains, and this leaves 200 pixels to one a tenth as wide as the photo.
 */
const LONGEST_SIDE = 2048;
const LARGE_BYTES = 1.5 * 2 ** 20;
const JPEG_QUALITY = 0.92;

/**
 * @param {Blob & {name?: string}} file
 * @returns {Promise<import("./types.js").Photo>} The file as it is where it is small, or this browser cannot read it.
 */
export async function preparePhoto(file) {
  const name = file.name || "photo";
  const bitmap = await decode(file);
  if (!bitmap) return { blob: file, name, bitmap };
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  if (scale === 1 && file.size <= LARGE_BYTES) return { blob: file, name, bitmap };
  const canvas = drawn(bitmap, scale);
  bitmap.close();
  return { blob: await encoded(canvas), name: "photo.jpg", bitmap: await createImageBitmap(canvas) };
}

/**
 * @param {Blob} file
 * @returns {Promise<ImageBitmap | null>} Upright; null if this browser cannot read the format, which the server may.
 */
async function decode(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return null;
  }
}

/**
 * Reduce by halves and the rest: browsers that look at four pixels only would skip the others at a larger step.
 *
 * @param {ImageBitmap} bitmap
 * @param {number} scale
 * @returns {HTMLCanvasElement}
 */
function drawn(bitmap, scale) {
  const [width, height] = [Math.round(bitmap.width * scale), Math.round(bitmap.height * scale)];
  /** @type {ImageBitmap | HTMLCanvasElement} */
  let picture = bitmap;
  while (picture.width > 2 * width) picture = resized(picture, Math.ceil(picture.width / 2), Math.ceil(picture.height / 2));
  return resized(picture, width, height);
}

/**
 * @param {ImageBitmap | HTMLCanvasElement} picture
 * @param {number} width
 * @param {number} height
 */
function resized(picture, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const brush = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  brush.fillStyle = "#fff"; // Under what is transparent.
  brush.fillRect(0, 0, width, height);
  brush.imageSmoothingQuality = "high";
  brush.drawImage(picture, 0, 0, width, height);
  return canvas;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {Promise<Blob>}
 */
export function encoded(canvas) {
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no blob"))), "image/jpeg", JPEG_QUALITY),
  );
}
