import { mount } from "svelte";
import App from "./App.svelte";
import { ownScript } from "./lib/trusted";
import english from "./messages/en.json";
import { texts } from "./state/i18n.svelte";
import "./styles/base.css";

texts.begin(english, { de: () => import("./messages/de.json"), fr: () => import("./messages/fr.json") });
mount(App, { target: document.getElementById("app")! });

// Without it everything works as long as there is a connection.
if (import.meta.env.PROD && "serviceWorker" in navigator) void navigator.serviceWorker.register(ownScript("/offline.js")).catch(() => {});
