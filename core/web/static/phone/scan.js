// Reading a code with the camera, where the browser can read codes.
import { h } from "../flow/dom.js";
import { back, button, go } from "./screen.js";
import { offer } from "./add.js";

const denied = {
  NotAllowedError: "This page may not use the camera. Allow it in the settings of your browser, or put the code in by hand.",
  NotFoundError: "There is no camera here. Put the code in by hand.",
};

/** The camera's picture, until a code of ours is in it. */
export async function scan({ show, signal }) {
  const video = h("video", { class: "camera", playsinline: true, muted: true, "aria-label": "Picture of the camera" });
  const said = h("p", { class: "state", role: "status", text: "Asking for the camera…" });
  const by = button("Put the code in by hand", back);
  show("Scan the code", [video, said, by], { back: "Back" });
  let stream;
  const stop = () => stream?.getTracks().forEach((track) => track.stop());
  signal.addEventListener("abort", stop);
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    if (signal.aborted) return stop();
    video.srcObject = stream;
    await video.play();
    said.textContent = "Point the camera at the code on your computer.";
    const detector = new window.BarcodeDetector({ formats: ["qr_code"] });
    while (!signal.aborted) {
      for (const { rawValue } of await detector.detect(video)) {
        const complaint = offer(rawValue);
        if (!complaint) return go("enrol", { instead: true });
        said.textContent = complaint;
      }
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
  } catch (error) {
    if (signal.aborted) return;
    video.remove();
    said.textContent = denied[error.name] ?? "The camera does not work here. Put the code in by hand.";
  }
}
