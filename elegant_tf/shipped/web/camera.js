/** A photo from the camera. */

import { Unusable, canvasOf, context } from "./photo.js";

const WHY = {
  NotAllowedError: "The camera was refused. Allow it for this page in the browser's settings, or choose a photo.",
  NotFoundError: "No camera was found. Choose a photo instead.",
  NotReadableError: "The camera is in use by another program. End that program, or choose a photo.",
};

/** Shows what the camera sees; the photo as a file, or null if the user cancels. Throws `Unusable`. */
export async function takePhoto(dialog) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Unusable("Browsers offer the camera only to pages from this device or over https. Choose a photo instead.");
  }
  const [video, shoot, cancel] = ["video", "#shoot", "#cancel"].map((name) => dialog.querySelector(name));
  const wanted = { facingMode: "user", width: { ideal: 1920 }, height: { ideal: 1080 } };
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
  } catch (error) {
    throw new Unusable(WHY[error.name] ?? `The camera cannot be used (${error.message}). Choose a photo instead.`);
  }
  try {
    video.srcObject = stream;
    shoot.disabled = true;
    video.onloadeddata = () => (shoot.disabled = false);
    dialog.showModal();
    const taken = await new Promise((resolve) => {
      shoot.onclick = () => resolve(true);
      cancel.onclick = () => resolve(false);
      dialog.onclose = () => resolve(false);
    });
    return taken ? await still(video) : null;
  } finally {
    stream.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    dialog.close();
  }
}

async function still(video) {
  const canvas = canvasOf(video.videoWidth, video.videoHeight);
  context(canvas).drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new File([blob], "camera.png", { type: blob.type });
}
