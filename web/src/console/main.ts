import { mount } from "svelte";
import english from "../messages/console.en.json";
import { texts } from "../state/i18n.svelte";
import "../styles/base.css";
import "../styles/console.css";
import App from "./App.svelte";

texts.begin(english, { de: () => import("../messages/console.de.json"), fr: () => import("../messages/console.fr.json") });
mount(App, { target: document.getElementById("app")! });
