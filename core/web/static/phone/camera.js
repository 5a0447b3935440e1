/** Whether this browser can read codes from the camera. */
export const camera = () => "BarcodeDetector" in window && Boolean(navigator.mediaDevices?.getUserMedia);
