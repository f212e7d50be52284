import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [svelte()],
  // The client helper lies outside and finds the official client here.
  resolve: { dedupe: ["socket.io-client"] },
  build: {
    target: "es2022",
    // Everything that is not index.html gets a hash in its name, so that the server may call it immutable;
    // inlined data URLs would need a wider content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  // `npm run dev` serves the page with hot reload beside a running cluster.
  server: { proxy: { "/api": "http://127.0.0.1:40000" }, fs: { allow: [".", "../../examples/client"] } },
});
