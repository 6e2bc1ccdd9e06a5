// @ts-check
// Making a chosen file ready to travel: a huge photo is reduced here, which spares the phone's upload and leaves its
// metadata (place, time, device) at home.

const LONGEST_SIDE = 2400;
const LARGE_BYTES = 3 * 2 ** 20;
const JPEG_QUALITY = 0.92;

/**
 * @param {Blob & {name?: string}} file
 * @returns {Promise<import("./types.js").Photo>}
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
 * @param {ImageBitmap} bitmap
 * @param {number} scale
 */
function drawn(bitmap, scale) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(bitmap.width * scale);
  canvas.height = Math.round(bitmap.height * scale);
  const brush = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  brush.fillStyle = "#fff"; // Under what is transparent.
  brush.fillRect(0, 0, canvas.width, canvas.height);
  brush.imageSmoothingQuality = "high";
  brush.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
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
