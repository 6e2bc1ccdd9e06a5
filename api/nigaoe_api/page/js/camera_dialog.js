// @ts-check
// Taking a photo in the page. Where the page may not use a camera, the device's own camera application does it.

import { byId } from "./elements.js";
import { encoded } from "./photo_preparation.js";

/** @param {(file: File) => void} onPhoto */
export function watchCamera(onPhoto) {
  const dialog = byId("camera", HTMLDialogElement);
  const view = byId("camera-view", HTMLVideoElement);

  byId("take-photo").addEventListener("click", async () => {
    // Pages without https have no camera; phones then bring their own camera application.
    if (!navigator.mediaDevices) return byId("capture-input").click();
    const stream = await openCamera();
    byId("camera-notice").hidden = stream !== null;
    if (!stream) return byId("choose-photo").focus();
    view.srcObject = stream;
    await view.play();
    dialog.showModal();
    byId("shutter").focus();
  });

  byId("shutter").addEventListener("click", async () => {
    const photo = await frameOf(view);
    dialog.close();
    onPhoto(photo);
  });

  dialog.addEventListener("close", () => {
    const stream = /** @type {MediaStream | null} */ (view.srcObject);
    stream?.getTracks().forEach((track) => track.stop());
    view.srcObject = null;
  });
}

/** @returns {Promise<MediaStream | null>} Null: no camera, or no permission. */
async function openCamera() {
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } } });
  } catch {
    return null;
  }
}

/**
 * @param {HTMLVideoElement} view
 * @returns {Promise<File>} What the camera saw, not the mirror image that the viewfinder shows.
 */
async function frameOf(view) {
  const canvas = document.createElement("canvas");
  canvas.width = view.videoWidth;
  canvas.height = view.videoHeight;
  canvas.getContext("2d")?.drawImage(view, 0, 0);
  return new File([await encoded(canvas)], "camera.jpg", { type: "image/jpeg" });
}
