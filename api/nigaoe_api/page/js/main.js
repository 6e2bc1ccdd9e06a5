// @ts-check
// The page's beginning: fetch the styles, open the studio, listen for photos.

import "../vendor/img-comparison-slider/index.js";
import { getStyles } from "./api_client.js";
import { watchCamera } from "./camera_dialog.js";
import { watchConnection } from "./connection.js";
import { watchDialogs } from "./dialogs.js";
import { byId } from "./elements.js";
import { HistoryDrawer } from "./history_drawer.js";
import { watchIntake } from "./photo_intake.js";
import { currentStep, showWelcome } from "./steps.js";
import { Studio } from "./studio.js";
import { tryAgainAfter } from "./trouble_panel.js";
import { hangPrints } from "./welcome_prints.js";

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

/** Leave the page's address alone: it names the print. */
function watchSkipLink() {
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("main").focus();
  });
}

watchDialogs();
watchSkipLink();
watchConnection();
const { styles } = await fetchStyles();
const studio = new Studio(styles);
const isOpen = () => !document.querySelector("dialog[open]") && !BUSY_STEPS.includes(currentStep() ?? "");
hangPrints(styles);
watchIntake((file) => studio.receive(file), isOpen);
watchCamera((file) => studio.receive(file));
new HistoryDrawer(styles, {
  onOpen: (id) => studio.open(id),
  onErased: (ids) => studio.jobId && ids.includes(studio.jobId) && studio.leave(),
});
byId("brand").addEventListener("click", (event) => {
  event.preventDefault();
  studio.restart();
});
studio.begin();
document.documentElement.dataset.ready = "yes";
