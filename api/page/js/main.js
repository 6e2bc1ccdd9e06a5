// @ts-check
// The page's beginning: fetch the styles, open the studio, listen for photos.

import "../vendor/img-comparison-slider/index.js";
import { getStyles } from "./api_client.js";
import { watchCamera } from "./camera_dialog.js";
import { watchConnection } from "./connection_banner.js";
import { watchDialogs } from "./dialogs.js";
import { byId } from "./elements.js";
import { watchHistoryDrawer } from "./history_drawer.js";
import { watchIntake } from "./photo_intake.js";
import { currentStep, showWelcome } from "./steps.js";
import { Studio } from "./studio.js";
import { tryAgainAfter } from "./trouble_panel.js";
import { hangPrints } from "./welcome_prints.js";

const JOB_ID = /^#([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;
/** While one of these is open, a dropped or pasted photo would throw away what the user waits for. */
const BUSY_STEPS = ["reading", "drawing"];

/** @returns {Promise<Awaited<ReturnType<typeof getStyles>>>} */
async function fetchStyles() {
  for (;;) {
    try {
      const shelf = await getStyles();
      if (currentStep() === "trouble") showWelcome();
      return shelf;
    } catch (error) {
      await tryAgainAfter(error, new AbortController().signal);
    }
  }
}

/** @param {Studio} studio */
function openNamedPrint(studio) {
  const [, id] = JOB_ID.exec(location.hash) ?? [];
  if (id) studio.open(id);
}

watchDialogs();
watchConnection();
const shelf = await fetchStyles();
const studio = new Studio(shelf);
const isOpen = () => !document.querySelector("dialog[open]") && !BUSY_STEPS.includes(currentStep() ?? "");
hangPrints(shelf.styles);
watchIntake((file) => studio.receive(file), isOpen);
watchCamera((file) => studio.receive(file));
watchHistoryDrawer(
  (id) => studio.open(id),
  (ids) => studio.jobId && ids.includes(studio.jobId) && studio.restart(),
);
byId("brand").addEventListener("click", (event) => {
  event.preventDefault();
  studio.restart();
});
addEventListener("hashchange", () => openNamedPrint(studio));
openNamedPrint(studio);
document.documentElement.dataset.ready = "yes";
