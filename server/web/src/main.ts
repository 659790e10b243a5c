import { mount } from 'svelte';
import './app.css';
import Dashboard from './Dashboard.svelte';
import { app } from './lib/app.svelte';

const host = document.getElementById('app');
if (host === null) throw new Error('index.html has no element with id "app"');

app.start();
mount(Dashboard, { target: host });
