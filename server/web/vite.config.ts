import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [svelte()],
  // Relative paths, so that the page also works behind a proxy that serves it under a prefix.
  base: './',
  build: {
    target: 'es2022',
    // `default-src 'self'` allows no data: URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    // `npm run dev` shows a running control plane: EDGEFLOW_URL=http://127.0.0.1:5000 npm run dev
    proxy: { '/api': { target: process.env.EDGEFLOW_URL ?? 'http://127.0.0.1:5000' } },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
