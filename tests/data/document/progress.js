const ws = new WebSocket('ws://localhost:8000/ws/jobs/job_abc123');

ws.onopen = () => {
  console.log('Connected to job progress');
};

ws.onmessage = (event) => {
  const data = JSON.parse(event.data);
  console.log('Progress update:', data);
  
  switch(data.type) {
    case 'connected':
      console.log('WebSocket connected');
      break;
    case 'progress':
      console.log(`${data.step}: ${data.progress}%`);
      break;
    case 'shot_complete':
      console.log(`Shot ${data.shot_id} complete`);
      break;
    case 'job_complete':
      console.log('Video generation complete!');
      break;
    case 'error':
      console.error('Error:', data.error);
      break;
  }
};

// Keep connection alive
setInterval(() => {
  ws.send('ping');
}, 30000);
