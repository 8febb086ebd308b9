import json

import requests
import websocket

# Create job
response = requests.post('http://localhost:8000/api/v1/jobs', json={
    'user_prompt': 'Ocean waves at sunset',
    'model_id': 'replicate:svd-xt',
    'max_shots': 3
})

job = response.json()
job_id = job['id']

print(f"Job created: {job_id}")

# Connect to WebSocket
def on_message(ws, message):
    data = json.loads(message)
    print(f"Progress: {data.get('progress', 0)}%")
    
    if data['type'] == 'job_complete':
        print("Complete!")
        ws.close()

ws = websocket.WebSocketApp(
    f'ws://localhost:8000/ws/jobs/{job_id}',
    on_message=on_message
)

ws.run_forever()
